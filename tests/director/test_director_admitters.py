"""Sheddable requests that an admitter refuses, and what predictions, sessions and media reach a decision."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import Objects

from signalbox.director import Arrival, Director, Refused, Routed, Waiting, policy_rules
from signalbox.payloads import Usage
from signalbox.pool import Pool, Rows
from signalbox.scheduling import Cycle, Decision, Policy, load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
SHEDDING = (
    HEAD
    + """plugins:
- type: probabilistic-admitter
- {type: utilization-detector, parameters: {queueDepthThreshold: 999999999, kvCacheUtilThreshold: 1.0}}
"""
)
PREDICTING = (
    HEAD
    + """plugins:
- {type: predicted-latency-producer, parameters: {streamingMode: true}}
- type: latency-scorer
- type: latency-slo-admitter
"""
)

WAITING = (
    HEAD
    + """featureGates: [flowControl]
plugins: [{type: queue-scorer}, {type: concurrency-detector, parameters: {maxConcurrency: 1}}]
flowControl: {saturationDetector: {pluginRef: concurrency-detector}}
"""
)


def direct(pool: Pool, configuration: str) -> Director:
    return Director(pool, policy_rules(load_policy(configuration, name="t.yaml"), pool), rng=random.Random(1))


def arrival(model: str = "m", content: Any = "hello", **fields: Any) -> Arrival:
    body = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 10, "stream": True}
    return Arrival("/v1/chat/completions", json.dumps(body).encode(), **fields)


@pytest.fixture
def pool(build_pool: Any, objects: Objects) -> Pool:
    resources = (objects.model("m", criticality="Critical"), objects.model("batch", criticality="Sheddable"))
    built: Pool = build_pool((4, 0.5, set()), (4, 0.5, set()), resources=resources)
    return built


def test_a_refusal_names_the_admitter_and_says_when_to_come_back(pool: Pool) -> None:
    outcome = direct(pool, SHEDDING).arrive(arrival("batch"), 1.0)
    assert isinstance(outcome, Refused)
    assert (outcome.status, outcome.retry_after, outcome.dropped) == (429, 1, "rejected-saturated")
    assert outcome.message == (
        "the pool is at 80% of its capacity, where 100% of sheddable requests are refused (probabilistic-admitter), and"
        " this request is sheddable"
    )


def test_others_are_not_asked_about(pool: Pool) -> None:
    assert isinstance(direct(pool, SHEDDING).arrive(arrival(), 1.0), Routed)


@pytest.mark.parametrize(("waiting", "named"), [(4, "probabilistic-admitter"), (5, "utilization-detector")])
def test_the_saturation_gate_comes_first(build_pool: Any, objects: Objects, waiting: int, named: str) -> None:
    pool = build_pool((waiting, 0.5, set()), resources=(objects.model("batch", criticality="Sheddable"),))
    director = direct(pool, HEAD + "plugins: [{type: probabilistic-admitter}]")
    outcome = director.arrive(arrival("batch"), 0.0)
    assert isinstance(outcome, Refused)
    assert f"({named})" in outcome.message


class TestPredictions:
    def serve(self, director: Director, count: int, seconds: float) -> None:
        """So many requests whose first token takes ``seconds`` and every other a tenth of that."""
        for number in range(count):
            outcome = director.arrive(arrival(), 100.0 * number)
            assert isinstance(outcome, Routed)
            assert outcome.ticket is not None
            director.first_byte(outcome.ticket, 100.0 * number + seconds, 200)
            director.finish(
                outcome.ticket, 100.0 * number + 2 * seconds, outcome="complete", status=200, usage=Usage(10, 11, None)
            )

    def test_a_ticket_says_what_was_expected_of_the_choice(self, pool: Pool) -> None:
        director = direct(pool, PREDICTING)
        self.serve(director, 19, 0.5)
        before = director.arrive(arrival(), 5000.0)
        assert isinstance(before, Routed)
        assert before.ticket is not None
        assert before.ticket.predicted is None
        self.serve(director, 2, 0.5)
        after = director.arrive(arrival(), 6000.0)
        assert isinstance(after, Routed)
        assert after.ticket is not None
        assert after.ticket.predicted is not None
        assert after.ticket.predicted.ttft == pytest.approx(0.5, rel=0.2)
        assert after.ticket.predicted.tpot == pytest.approx(0.05, rel=0.01)

    def test_what_would_come_too_late_is_refused_if_it_can_be(self, pool: Pool) -> None:
        director = direct(pool, PREDICTING)
        for endpoint in pool.endpoints:
            pool.columns.running[endpoint.row] = 3
        self.serve(director, 25, 0.5)
        assert isinstance(director.arrive(arrival("batch", slo_ttft=2.0), 9000.0), Routed)
        late = director.arrive(arrival("batch", slo_ttft=0.1), 9001.0)
        assert isinstance(late, Refused)
        assert late.message.startswith("none of 2 endpoints is expected to answer in time: at best the first token in")
        assert "(latency-slo-admitter)" in late.message
        assert isinstance(director.arrive(arrival(slo_ttft=0.1), 9002.0), Routed)


def test_a_session_in_a_cookie_comes_back_to_its_endpoint(build_pool: Any) -> None:
    pool = build_pool(*[(0, 0.0, set())] * 5)
    text = (
        HEAD
        + """plugins:
- {type: session-id-producer, parameters: {cookieName: sid}}
- type: session-affinity-filter
  parameters: {strategy: session_id, sessionIdConfig: {sources: [{attribute: session-id}]}}
"""
    )
    director = direct(pool, text)
    served = set()
    for number in range(8):
        outcome = director.arrive(arrival(headers={"cookie": "a=b; sid=alice"}), float(number))
        assert isinstance(outcome, Routed)
        served.add(outcome.destination.split(",")[0])
    assert len(served) == 1


def test_a_picture_goes_where_it_was_encoded(build_pool: Any) -> None:
    pool = build_pool(*[(0, 0.0, set())] * 5)
    director = direct(pool, HEAD + "plugins: [{type: mm-embeddings-cache-scorer}]")

    def ask(text: str, url: str) -> str:
        picture = {"type": "image_url", "image_url": {"url": url}}
        outcome = director.arrive(arrival(content=[{"type": "text", "text": text}, picture]), 1.0)
        assert isinstance(outcome, Routed)
        return outcome.destination.split(",")[0]

    first = ask("what is this?", "https://x/cat.png")
    assert [ask(f"question {number}", "https://x/cat.png") for number in range(4)] == [first] * 4
    assert ask("what is this?", "https://x/dog.png") != first


def test_the_source_of_kv_blocks_reaches_the_gateway(build_pool: Any) -> None:
    pool = build_pool((0, 0.0, set()), (0, 0.0, set()))
    director = direct(pool, HEAD + "plugins: [{type: p2p-source-producer}, {type: active-request-scorer}]")
    prompt = "tell me a story about a signal box in the hills " * 40
    first = director.arrive(arrival(content=prompt), 1.0)
    second = director.arrive(arrival(content=prompt), 2.0)
    assert isinstance(first, Routed)
    assert isinstance(second, Routed)
    assert first.headers == {}
    assert second.destination != first.destination, "the first one is busy"
    assert second.headers == {"x-kv-cache-source-host-port": first.destination.split(",")[0]}


class Noting:
    """Passes on to a scheduler and notes the objective it is to keep."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.objectives: list[float | None] = []

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        """Note and pass on."""
        self.objectives.append(cycle.slo_ttft)
        made: Decision | None = self.scheduler.schedule(cycle, rows)
        return made


def test_what_a_request_has_waited_is_taken_off_its_objective(build_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[float | None] = []
    monkeypatch.setattr(Policy, "prepare", lambda self, cycle: prepared.append(cycle.slo_ttft))
    director = direct(build_pool((0, 0.0, set())), WAITING)
    noting = Noting(director.rules.scheduler)
    director.rules = replace(director.rules, scheduler=noting)
    first = director.arrive(arrival(slo_ttft=2.0), 1.0)
    assert isinstance(first, Routed)
    assert first.ticket is not None
    assert isinstance(director.arrive(arrival(slo_ttft=2.0), 1.5), Waiting)
    assert isinstance(director.arrive(arrival(), 1.5), Waiting)
    for at in (2.75, 3.0):
        director.finish(first.ticket, at, outcome="complete", status=200)
        ((_, outcome),) = director.dispatch(at)
        assert isinstance(outcome, Routed)
        first = outcome
        assert first.ticket is not None
    assert noting.objectives == [2.0, 0.75, None]
    assert prepared == noting.objectives, "what producers work out holds for what is left"
