"""A policy as a whole: its decisions, what a failing plugin does to them, and what a reload keeps."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scheduling.states import cycles

from signalbox.pool import Rows
from signalbox.pool.columns import NUMERIC
from signalbox.scheduling import Cycle, Policy, ScorerPlugin, load_policy
from signalbox.scheduling.registry import BUILTIN
from signalbox.scheduling.scorers import QueueScorer, SessionAffinityScorer

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
REQUIRED = {
    "endpoint-attribute-scorer": {"attributeKey": "waiting", "algorithm": {"type": "linear_lower_is_better"}},
    "header-label-affinity-scorer": {"headerName": "zone", "labelKey": "zone"},
}
SCORERS = {
    name: plugin(plugin.parameter_model.model_validate(REQUIRED.get(name, {})))
    for name, plugin in BUILTIN.items()
    if plugin.role == "scorer"
}


def policy(*plugins: str) -> Policy:
    return load_policy(f"{HEAD}plugins: [{', '.join(f'{{{plugin}}}' for plugin in plugins)}]", name="epp.yaml")


@pytest.mark.parametrize("name", SCORERS)
@given(state=cycles())
def test_scores_are_one_for_each_row_from_zero_to_one(name: str, state: tuple[Cycle, Rows]) -> None:
    cycle, rows = state
    plugin = SCORERS[name]
    assert isinstance(plugin, ScorerPlugin)
    before = {column: getattr(cycle.columns, column).copy() for column in NUMERIC}
    scores = plugin.score(cycle, rows)
    assert scores.shape == rows.shape
    assert scores.min() >= 0
    assert scores.max() <= 1
    for column, values in before.items():
        assert (getattr(cycle.columns, column) == values).all(), f"{column} was written to"


MEMBERS = ["queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer", "lora-affinity-scorer"]


@given(state=cycles(), order=st.permutations(MEMBERS), weights=st.lists(st.floats(0, 10), min_size=4, max_size=4))
def test_the_order_of_scorers_changes_neither_scores_nor_choice(
    state: tuple[Cycle, Rows], order: list[str], weights: list[float]
) -> None:
    cycle, rows = state
    weight = dict(zip(MEMBERS, weights, strict=True))
    outcomes = []
    for members in (MEMBERS, order):
        listed = ", ".join(f"{{type: {name}}}" for name in members)
        used = ", ".join(f"{{pluginRef: {name}, weight: {weight[name]!r}}}" for name in members)
        text = f"{HEAD}plugins: [{listed}]\nschedulingProfiles: [{{name: a, plugins: [{used}]}}]"
        cycle.rng, cycle.steps = random.Random(1), []
        decision = load_policy(text, name="epp.yaml").schedule(cycle, rows)
        assert decision is not None
        outcomes.append((decision.rows, decision.scores[0].totals.tolist()))
    assert outcomes[0] == outcomes[1]


@given(state=cycles(), threshold=st.integers(0, 6), limit=st.integers(1, 4))
def test_no_filtered_endpoint_is_picked_not_even_as_a_fallback(
    state: tuple[Cycle, Rows], threshold: int, limit: int
) -> None:
    cycle, rows = state
    built = policy(
        "type: prefix-cache-affinity-filter",
        f"type: utilization-filter, parameters: {{conditions: [{{metric: waiting-queue, maxValue: {threshold}}}]}}",
        "type: label-selector-filter, parameters: {matchLabels: {zone: a}}",
        "type: queue-scorer",
        f"type: max-score-picker, parameters: {{maxNumOfEndpoints: {limit}}}",
    )
    decision = built.schedule(cycle, rows)
    allowed = {row for row in rows.tolist() if cycle.columns.waiting[row] <= threshold and row % 2 == 0}
    chosen = [] if decision is None else list(decision.rows)
    assert set(chosen) <= allowed
    assert len(chosen) == len(set(chosen)) <= limit
    assert not built.faults


def test_a_preference_decides_the_choice_and_lets_others_be_fallbacks(world: Any) -> None:
    state = world(4, waiting=[0, 1, 2, 3])
    built = policy("type: session-affinity-filter", "type: queue-scorer")
    token = {"x-session-token": "ZGVmYXVsdC9wb2QtMg=="}
    decision = built.schedule(state.cycle(headers=token), state.rows)
    assert decision is not None
    assert decision.rows == (2, 0, 1)


def test_a_decision_keeps_steps_and_scores_for_explanation(world: Any) -> None:
    state = world(3, waiting=[2, 0, 1], failed_scrapes=[0, 0, 9])
    decision = policy("type: queue-scorer").schedule(state.cycle(), state.rows)
    assert decision is not None
    told = [f"{step.plugin} {step.before}->{step.after}" for step in decision.steps]
    assert told[:3] == ["reachable 3->2", "queue-scorer 2->2", "max-score-picker 2->2"]
    (ranking,) = decision.scores
    assert (ranking.profile, ranking.rows.tolist()) == ("default", [0, 1])
    assert [(name, weight, scores.tolist()) for name, weight, scores in ranking.parts] == [("queue-scorer", 1, [0, 1])]
    assert decision.rows == (1, 0, 2), "an endpoint that stopped answering is the last resort"


def test_nobody_left_is_no_decision(world: Any) -> None:
    state = world(2)
    assert policy("type: prefill-filter").schedule(state.cycle(), state.rows) is None
    assert policy().schedule(state.cycle(), state.rows[:0]) is None


def broken(*_: Any) -> Any:
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("plugin", "method"),
    [
        ("queue-scorer", "score"),
        ("reachable", "keep"),
        ("max-score-picker", "pick"),
        ("single-profile-handler", "schedule"),
        ("session-affinity-scorer", "routed"),
        ("session-affinity-scorer", "answer_headers"),
        ("session-affinity-scorer", "score"),
    ],
)
def test_a_failing_plugin_is_left_out_counted_and_logged_once(
    world: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, plugin: str, method: str
) -> None:
    sections = ("type: queue-scorer", "type: kv-cache-utilization-scorer", "type: session-affinity-scorer")
    kind = type(next(p for p in policy(*sections).plugins if p.name == plugin))
    for name in (method, f"{method}_few"):
        if hasattr(kind, name):
            monkeypatch.setattr(kind, name, broken)
    built = policy(*sections)
    state = world(2, kv_usage=[0.9, 0.1])
    with caplog.at_level(logging.ERROR):
        for expected in (1, 2):
            decision = built.schedule(state.cycle(), state.rows)
            assert decision is not None
            assert decision.rows == (1, 0), "the other scorer still decides"
            assert built.faults == {plugin: expected}
    assert [record.getMessage().split(" failed")[0] for record in caplog.records] == [f"plugin {plugin}"]


def test_a_failing_detector_refuses_nobody(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    built = policy()
    state = world(1, waiting=[50])
    assert built.saturation(state.cycle(), state.rows) == 10
    monkeypatch.setattr(type(built.detector), "saturation", broken)
    assert built.saturation(state.cycle(), state.rows) == 0
    assert built.faults == {"utilization-detector": 1}


def test_a_reload_keeps_what_persisting_plugins_have_learned(world: Any) -> None:
    state = world(3)
    by_name = "type: session-affinity-scorer, parameters: {strategy: session_id}"
    old = policy(by_name, "type: queue-scorer")
    headers = {"x-session-id": "alice"}
    first = old.schedule(state.cycle(headers=headers), state.rows)
    old.faults["queue-scorer"] += 2
    same, other = policy("type: decode-filter", by_name), policy("type: session-affinity-scorer", "type: queue-scorer")
    for new, faults in ((same, {}), (other, {"queue-scorer": 2})):
        new.adopt(old)
        assert new.faults == faults  # those of a plugin that is gone concern nobody
    assert first is not None
    for seed in range(10):
        again = same.schedule(state.cycle(headers=headers, seed=seed), state.rows)
        assert again is not None
        assert again.rows[0] == first.rows[0]
    assert not any(plugin._bindings._bound for plugin in other.plugins if isinstance(plugin, SessionAffinityScorer))


def test_an_endpoint_that_leaves_is_told_to_the_plugins(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(QueueScorer, "left", lambda self, endpoint: told.append(endpoint.name), raising=False)
    built = policy("type: queue-scorer", "type: no-hit-lru-scorer")
    built.left(world(1).endpoints[0])
    assert told == ["pod-0"]


@pytest.mark.parametrize("scorers", [["queue-scorer"], ["active-request-scorer"], ["token-load-scorer"], []])
def test_simultaneous_arrivals_spread_evenly(build_pool: Any, scorers: list[str]) -> None:
    pool = build_pool(*[(0, 0.0, set())] * 8)
    built = policy(*[f"type: {name}" for name in scorers])
    endpoints = {endpoint.row: endpoint for endpoint in pool.endpoints}
    rng = random.Random(7)
    for _ in range(200):
        decision = built.schedule(Cycle("m", 0, pool.columns, rng, endpoints=endpoints, prompt_tokens=99), pool.rows)
        assert decision is not None
        pool.acquire(pool.endpoint(decision.rows[0]), 200)
    assert pool.columns.inflight[pool.rows].tolist() == [25.0] * 8
