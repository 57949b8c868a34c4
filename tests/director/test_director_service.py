"""What clients are served with is counted for the fairness policy, whether they let the server count it or not."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.conftest import BuildPool

from signalbox.director import Arrival, Director, Routed, policy_rules
from signalbox.payloads import Usage
from signalbox.scheduling import load_policy
from signalbox.scheduling.fairness import ProgramAware

CONFIGURATION = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
flowControl: {defaultPriorityBand: {fairnessPolicyRef: program-aware-fairness}}
"""
PROMPT = "word " * 100


def served(build_pool: BuildPool, stream: bool, **ending: Any) -> float:
    """Tokens that a client has been served with once its only request has ended."""
    pool = build_pool((0, 0, set()))
    policy = load_policy(CONFIGURATION, name="flow.yaml")
    director = Director(pool, policy_rules(policy, pool), rng=random.Random(3))
    body = json.dumps({"model": "m", "prompt": PROMPT, "stream": stream}).encode()
    routed = director.arrive(Arrival("/v1/completions", body, fairness_id="tenant"), 1.0)
    assert isinstance(routed, Routed)
    assert routed.ticket is not None
    director.finish(routed.ticket, 2.0, **{"outcome": "complete", "status": 200, **ending})
    assert policy.flow is not None
    fairness = policy.flow.default.fairness
    assert isinstance(fairness, ProgramAware)
    return fairness.service.tokens("tenant", 2.0)


def test_as_the_server_counted(build_pool: BuildPool) -> None:
    assert served(build_pool, False, response_bytes=9999, usage=Usage(70, 15)) == pytest.approx(70 + 2 * 15)


@pytest.mark.parametrize(("stream", "answer"), [(True, 20), (False, 1000)])
def test_by_its_bytes_where_nobody_asked_the_server_to_count(build_pool: BuildPool, stream: bool, answer: int) -> None:
    """500 characters are 125 tokens by estimate; an event of a stream is taken for 200 bytes, a token for 4."""
    assert served(build_pool, stream, response_bytes=4000) == pytest.approx(125 + 2 * answer)


def test_a_client_that_hangs_up_has_been_served_with_what_it_got(build_pool: BuildPool) -> None:
    assert served(build_pool, True, outcome="cancelled", response_bytes=2000) == pytest.approx(125 + 2 * 10)


@pytest.mark.parametrize("ending", [{"status": 400, "response_bytes": 300}, {"status": None, "outcome": "cancelled"}])
def test_nothing_for_a_request_that_was_refused_or_never_answered(
    build_pool: BuildPool, ending: dict[str, Any]
) -> None:
    assert served(build_pool, True, **ending) == 0
