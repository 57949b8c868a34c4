"""From whom to fetch the KV cache of a prompt's beginning."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from signalbox.scheduling import Decision, load_policy
from signalbox.scheduling.producers import KV_SOURCE_HEADER, P2PSourceProducer
from signalbox.scheduling.producers.p2p_source import P2PSourceParameters

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def source(state: Any, held: list[float], decision: Decision, delta: int = 1, seed: int = 1) -> str | None:
    plugin = P2PSourceProducer(P2PSourceParameters(min_cached_token_delta=delta))
    cycle = state.cycle(prefix=state.prefix(held, total=10), seed=seed)
    return plugin.request_headers(cycle, decision).get(KV_SOURCE_HEADER)


@pytest.mark.parametrize(
    ("held", "delta", "expected"),
    [
        pytest.param([0, 9, 2], 1, "10.0.0.2:8000", id="who holds most"),
        pytest.param([9, 2, 0], 1, None, id="the computing server itself"),
        pytest.param([0, 0, 0], 1, None, id="nobody"),
        pytest.param([5, 9, 0], 64, "10.0.0.2:8000", id="just enough more"),
        pytest.param([5, 9, 0], 65, None, id="not enough more"),
    ],
)
def test_it_is_who_holds_enough_more_than_who_computes(
    world: Any, held: list[float], delta: int, expected: str | None
) -> None:
    assert source(world(3), held, Decision((0, 1), ()), delta) == expected


def test_of_a_disaggregated_request_the_prefill_server_computes(world: Any) -> None:
    state = world(3)
    assert source(state, [9, 0, 5], Decision((0,), (), stages={"prefill": (1,)})) == "10.0.0.1:8000"
    assert source(state, [0, 9, 5], Decision((0,), (), stages={"prefill": (1,)})) is None


def test_among_equals_short_queues_are_preferred_and_nobody_is_left_out(world: Any) -> None:
    state = world(4, waiting=[0, 0, 3, 0])
    found = Counter(source(state, [0, 9, 9, 8.5], Decision((0,), ()), seed=seed) for seed in range(900))
    assert found.keys() == {"10.0.0.2:8000", "10.0.0.3:8000", "10.0.0.4:8000"}
    assert found["10.0.0.2:8000"] / found["10.0.0.3:8000"] == pytest.approx(4, rel=0.3)


def test_without_a_lookup_there_is_none(world: Any) -> None:
    assert P2PSourceProducer().request_headers(world(2).cycle(), Decision((0,), ())) == {}


def test_the_header_is_set_on_the_request_beside_the_handlers_own(world: Any) -> None:
    text = """plugins:
- type: p2p-source-producer
- type: prefix-cache-scorer
- type: always-disagg-pd-decider
- type: decode-filter
- type: prefill-filter
- type: disagg-profile-handler
  parameters: {deciders: {prefill: always-disagg-pd-decider}}
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: decode-filter}]}
- {name: prefill, plugins: [{pluginRef: prefill-filter}]}
"""
    policy = load_policy(HEAD + text, name="x")
    state = world(2, labels=[{"llm-d.ai/role": "decode"}, {"llm-d.ai/role": "prefill"}])
    decision = policy.schedule(state.cycle(prefix=state.prefix([9, 1], total=10)), state.rows)
    assert decision is not None
    assert decision.headers == {"x-prefiller-host-port": "10.0.0.2:8000", KV_SOURCE_HEADER: "10.0.0.1:8000"}
    assert policy.prefix is not None
