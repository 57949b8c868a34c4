"""Deciding by a configuration: prefixes are remembered and given back, headers and stages reach the gateway."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from signalbox.director import Arrival, Director, Refused, Routed, guide_rules, policy_rules
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy

DEFAULT = ""
PREFIX_ONLY = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: prefix-cache-scorer}]
schedulingProfiles: [{name: default, plugins: [{pluginRef: prefix-cache-scorer}]}]
"""
DISAGGREGATED = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: decode-filter}
- {type: prefill-filter}
- {type: queue-scorer}
- {type: always-disagg-pd-decider}
- type: disagg-profile-handler
  parameters: {deciders: {prefill: always-disagg-pd-decider}}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: queue-scorer}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: queue-scorer}]}
"""
PASSTHROUGH = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: passthrough-parser}, {type: active-request-scorer}]
requestHandler: {parsers: [{pluginRef: passthrough-parser}]}
schedulingProfiles: [{name: default, plugins: [{pluginRef: active-request-scorer}]}]
"""


def direct(pool: Pool, configuration: str = DEFAULT) -> Director:
    rules = policy_rules(load_policy(configuration, name="test.yaml"), pool)
    return Director(pool, rules, rng=random.Random(5))


def arrival(prompt: str, **fields: Any) -> Arrival:
    body = {"model": "m", "prompt": prompt, "max_tokens": 10}
    return Arrival("/v1/completions", json.dumps(body).encode(), **fields)


def routed(director: Director, prompt: str) -> Routed:
    outcome = director.arrive(arrival(prompt), 1.0)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    return outcome


def ended(director: Director, outcome: Routed, *, status: int | None = 200, kind: str = "complete") -> str:
    assert outcome.ticket is not None
    director.finish(outcome.ticket, 2.0, outcome=kind, status=status)
    return outcome.ticket.endpoint.host


LONG = "You are a helpful assistant who knows the menu by heart. " * 40


def test_a_prompt_goes_where_its_beginning_was_sent(build_pool: Any) -> None:
    director = direct(build_pool(*[(0, 0, set())] * 6), PREFIX_ONLY)
    first = ended(director, routed(director, LONG + "What is for lunch?"))
    for question in ("And dinner?", "And breakfast?", "Is there tea?"):
        assert ended(director, routed(director, LONG + question)) == first


def test_equal_prompts_that_arrive_together_see_each_other(build_pool: Any) -> None:
    director = direct(build_pool(*[(0, 0, set())] * 6), PREFIX_ONLY)
    together = [routed(director, LONG) for _ in range(5)]
    assert len({ended(director, outcome) for outcome in together}) == 1


def test_a_request_that_failed_gives_its_prompt_back(build_pool: Any) -> None:
    director = direct(build_pool(*[(0, 0, set())] * 6), PREFIX_ONLY)
    tracker = director.rules.prefix
    assert tracker is not None
    ended(director, routed(director, LONG), status=503, kind="server_error")
    assert tracker.blocks == 0
    ended(director, routed(director, LONG), status=None, kind="cancelled")
    assert tracker.blocks == 0
    ended(director, routed(director, LONG))
    assert tracker.blocks > 0


def test_an_answer_that_broke_off_had_its_prompt_computed(build_pool: Any) -> None:
    director = direct(build_pool((0, 0, set())), PREFIX_ONLY)
    outcome = routed(director, LONG)
    assert outcome.ticket is not None
    director.first_byte(outcome.ticket, 1.5)
    ended(director, outcome, kind="cancelled")
    assert director.rules.prefix is not None
    assert director.rules.prefix.blocks > 0


def test_an_endpoint_that_leaves_is_forgotten_at_once(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    director = direct(pool, PREFIX_ONLY)
    assert director.rules.prefix is not None
    gone = ended(director, routed(director, LONG))
    pod = next(endpoint.pod for endpoint in pool.endpoints if endpoint.host == gone)
    pool.put(objects.pod(pod, gone, ready=False))
    before = director.rules.prefix.blocks
    assert before > 0
    ended(director, routed(director, "short"))
    assert director.rules.prefix.blocks == 1


def test_capacity_is_what_the_engine_reports(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    (endpoint,) = pool.endpoints
    pool.record(endpoint, Readings(block_size=16, kv_blocks=20), pool.begin_scrape(endpoint), 1.0)
    director = direct(pool, PREFIX_ONLY)
    for number in range(10):
        ended(director, routed(director, f"{number} " + LONG))
    assert director.rules.prefix is not None
    assert 0 < director.rules.prefix.blocks * 64 <= 16 * 20


def test_tokens_already_cached_are_not_charged(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    director = direct(pool, PREFIX_ONLY)
    first = routed(director, LONG)
    whole = pool.columns.inflight_tokens.sum()
    ended(director, first)
    second = routed(director, LONG)
    assert pool.columns.inflight_tokens.sum() < whole / 10
    ended(director, second)
    assert pool.columns.inflight_tokens.sum() == 0


@pytest.mark.parametrize("configuration", [DEFAULT, PASSTHROUGH])
def test_two_hundred_arrivals_of_different_prompts_spread_evenly(build_pool: Any, configuration: str) -> None:
    pool = build_pool(*[(0, 0, set())] * 8)
    director = direct(pool, configuration)
    for number in range(200):
        routed(director, f"{number} different prompts")
    counts = Counter(pool.columns.inflight[pool.rows].tolist())
    assert all(abs(count - 25) <= 2 for count in counts), counts


def test_disaggregation_names_the_prefiller_and_charges_it(build_pool: Any, objects: Any) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("d", "10.0.0.1", labels={"app": "llm", "llm-d.ai/role": "decode"}))
    pool.put(objects.pod("p", "10.0.0.2", labels={"app": "llm", "llm-d.ai/role": "prefill"}))
    director = direct(pool, DISAGGREGATED)
    outcome = routed(director, LONG)
    assert outcome.destination == "10.0.0.1:8000"
    assert outcome.headers == {"x-prefiller-host-port": "10.0.0.2:8000"}
    assert pool.columns.inflight[pool.rows].tolist() == [1, 1]
    ended(director, outcome)
    assert pool.columns.inflight.sum() == 0


def test_a_disaggregated_request_that_failed_gives_its_prompt_back_at_both_ends(objects: Any) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("d", "10.0.0.1", labels={"app": "llm", "llm-d.ai/role": "decode"}))
    pool.put(objects.pod("p", "10.0.0.2", labels={"app": "llm", "llm-d.ai/role": "prefill"}))
    director = direct(pool, DISAGGREGATED.replace("queue-scorer", "prefix-cache-scorer"))
    assert director.rules.prefix is not None
    ended(director, routed(director, LONG), status=503, kind="server_error")
    assert director.rules.prefix.blocks == 0
    ended(director, routed(director, LONG))
    assert director.rules.prefix.blocks > 0


def test_with_the_passthrough_parser_any_body_is_routed(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    director = direct(pool, PASSTHROUGH)
    outcome = director.arrive(Arrival("/audio", b"passthrough-parser"), 1.0)
    assert isinstance(outcome, Routed)
    assert (outcome.body, outcome.destination) == (None, "192.168.1.1:8000")
    assert outcome.ticket is not None
    assert outcome.ticket.model == ""


def test_a_saturated_pool_sheds_what_is_below_zero(build_pool: Any, objects: Any) -> None:
    pool = build_pool((50, 0.99, set()), resources=(objects.objective("batch", -1),))
    director = direct(pool)
    outcome = director.arrive(arrival("x", objective="batch"), 0.1)
    assert isinstance(outcome, Refused)
    assert (outcome.status, outcome.retry_after) == (429, 1)
    assert "of its capacity (utilization-detector)" in outcome.message
    assert isinstance(director.arrive(arrival("x"), 0.1), Routed)


def test_rules_are_replaced_between_two_requests_and_keep_what_they_learned(build_pool: Any) -> None:
    pool = build_pool(*[(0, 0, set())] * 6)
    director = direct(pool, PREFIX_ONLY)
    in_flight = routed(director, "another")
    first = ended(director, routed(director, LONG))
    policy = load_policy(PREFIX_ONLY.replace("name: default", "name: main"), name="test.yaml")
    director.rules = policy_rules(policy, pool, director.rules)
    assert ended(director, routed(director, LONG)) == first
    director.rules = guide_rules()
    ended(director, in_flight)
    assert ended(director, routed(director, LONG)) in {endpoint.host for endpoint in pool.endpoints}
    assert pool.columns.inflight.sum() == 0
