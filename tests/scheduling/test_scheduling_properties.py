"""What holds for every registered plugin, alone and in any company, in any state of the pool."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scheduling.states import cycles

from signalbox.pool import Columns, Rows
from signalbox.pool.columns import NUMERIC
from signalbox.scheduling import AdmitterPlugin, Cycle, Decision, DetectorPlugin, Filter, Policy, load_policy
from signalbox.scheduling.headers import check_headers
from signalbox.scheduling.pickers import MaxScorePicker
from signalbox.scheduling.plugin import PickerPlugin, Plugin, ProducerPlugin, ScorerPlugin
from signalbox.scheduling.registry import BUILTIN

State = tuple[Cycle, Rows]

PARAMETERS: dict[str, dict[str, Any]] = {
    "endpoint-attribute-scorer": {"attributeKey": "waiting", "algorithm": {"type": "linear_lower_is_better"}},
    "header-label-affinity-scorer": {"headerName": "zone", "labelKey": "zone"},
    "endpoint-attribute-filter": {
        "attribute": "running",
        "algorithm": {"type": "threshold", "threshold": {"operator": "LessThan", "value": 4}},
    },
    "label-selector-filter": {"matchLabels": {"zone": "a"}},
    "utilization-filter": {"conditions": [{"metric": "waiting-queue", "maxValue": 3}]},
    "context-length-aware": {"enableFiltering": True},
    "disaggregatedset-rollout-screener": {
        "scope": {"labelSelector": "zone=a"},
        "revisionGating": {
            "mode": "max-role",
            "requireRoles": {"values": ["0", "1"]},
            "revisionLabelKey": "zone",
            "roleLabelKey": "topology.kubernetes.io/rack",
        },
    },
}
"""For types that need some, or do more with them."""

ROW_BY_ROW = (
    "context-length-aware",
    "decode-filter",
    "encode-filter",
    "endpoint-attribute-filter",
    "header-based-testing-filter",
    "label-selector-filter",
    "prefill-filter",
    "utilization-filter",
)
"""Filters that judge each endpoint by itself, so that their place among others cannot matter. No fallback may get
around them."""


def made(name: str) -> Plugin[Any]:
    kind = BUILTIN[name]
    plugin = kind(kind.parameter_model.model_validate(PARAMETERS.get(name, {}), by_alias=True, by_name=False))
    plugin.connect({type: BUILTIN[type]() for type in plugin.needs()})
    return plugin


def of_role(*roles: str) -> list[str]:
    return [name for name, plugin in BUILTIN.items() if plugin.role in roles]


KEEPING = [*of_role("filter", "detector"), "context-length-aware"]
SCORERS, PICKERS = of_role("scorer"), of_role("picker")


def configuration(
    filters: list[str], scorers: list[str], picker: str, weights: dict[str, float], declared: list[str]
) -> Policy:
    """One profile of these, filters and scorers in the order given; the plugins are declared in the order of
    ``declared``."""
    listed = [{"type": name, "parameters": PARAMETERS.get(name, {})} for name in declared]
    members: list[dict[str, Any]] = [{"pluginRef": name} for name in [*filters, picker]]
    members += [{"pluginRef": name, "weight": weights[name]} for name in scorers]
    document = {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": listed,
        "schedulingProfiles": [{"name": "default", "plugins": members}],
    }
    return load_policy(json.dumps(document), name="epp.yaml")


def decide(policy: Policy, state: State) -> Decision | None:
    """Decide with dice of its own, so that two policies see the same ones."""
    cycle, rows = state
    cycle.rng, cycle.steps = random.Random(3), []
    decision = policy.schedule(cycle, rows)
    assert not policy.faults
    return decision


def snapshot(columns: Columns) -> dict[str, Any]:
    return {name: getattr(columns, name).copy() for name in NUMERIC}


@pytest.mark.parametrize("name", [*KEEPING, *of_role("screener")])
@given(state=cycles())
def test_a_filter_keeps_some_of_its_rows_and_writes_nowhere(name: str, state: State) -> None:
    cycle, rows = state
    before, given_rows = snapshot(cycle.columns), rows.copy()
    kept = cast(Filter, made(name)).keep(cycle, rows).tolist()
    assert set(kept) <= set(rows.tolist())
    assert len(kept) == len(set(kept))
    if name != "header-based-testing-filter":  # the header's order
        assert kept == sorted(kept)
    assert (rows == given_rows).all()
    for column, values in before.items():
        assert (getattr(cycle.columns, column) == values).all(), f"{column} was written to"


@pytest.mark.parametrize("name", PICKERS)
@given(state=cycles(), limit=st.integers(1, 14), level=st.sampled_from([0, 1, 3, 100]))
def test_a_picker_names_different_candidates_up_to_its_limit(name: str, state: State, limit: int, level: int) -> None:
    cycle, rows = state
    scores = np.random.default_rng(limit).integers(0, level + 1, len(rows)) / max(level, 1)
    picker = made(name)
    assert isinstance(picker, PickerPlugin)
    picked = picker.pick(cycle, rows, scores, limit).tolist()
    assert 1 <= len(picked) <= limit
    assert len(picked) == len(set(picked))
    assert set(picked) <= set(rows.tolist())
    if isinstance(picker, MaxScorePicker):
        assert [scores[row] for row in picked] == sorted(scores, reverse=True)[:limit]


@pytest.mark.parametrize("name", SCORERS)
@given(state=cycles(), data=st.data())
def test_a_score_depends_on_who_the_candidates_are_and_not_on_their_order(
    name: str, state: State, data: st.DataObject
) -> None:
    cycle, rows = state
    order = data.draw(st.permutations(range(len(rows))))
    scorer = made(name)
    assert isinstance(scorer, ScorerPlugin)
    straight, turned = (made_scores(scorer, cycle, each) for each in (rows, rows[order]))
    if name == "no-hit-lru-scorer":  # endpoints that were never used are ranked as they come
        assert sorted(turned) == sorted(straight)
    else:
        assert turned == pytest.approx([straight[place] for place in order])


def made_scores(scorer: ScorerPlugin[Any], cycle: Cycle, rows: Rows) -> list[float]:
    scores = scorer.score(cycle, rows)
    assert scores.shape == rows.shape
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    return list(scores.tolist())


@pytest.mark.parametrize("name", of_role("admitter"))
@given(state=cycles())
def test_an_admitter_lets_in_or_says_why_and_writes_nowhere(name: str, state: State) -> None:
    cycle, rows = state
    admitter = made(name)
    assert isinstance(admitter, AdmitterPlugin)
    before = snapshot(cycle.columns)
    why = admitter.admit(cycle, rows)
    assert why is None or len(why) > 20
    for column, values in before.items():
        assert (getattr(cycle.columns, column) == values).all(), f"{column} was written to"


@pytest.mark.parametrize("name", of_role("producer"))
@given(state=cycles())
def test_what_a_producer_notes_and_sends_along_can_be_used(name: str, state: State) -> None:
    cycle, rows = state
    producer = made(name)
    assert isinstance(producer, ProducerPlugin)
    before = snapshot(cycle.columns)
    producer.produce(cycle)
    assert cycle.session is None or cycle.session
    decision = Decision(tuple(rows.tolist()), ())
    producer.routed(cycle, decision)
    check_headers(name, producer.request_headers(cycle, decision))
    producer.moved(cycle, decision, int(rows[-1]))
    producer.left(cycle.endpoints[0])
    for column, values in before.items():
        assert (getattr(cycle.columns, column) == values).all(), f"{column} was written to"


@pytest.mark.parametrize("name", of_role("detector"))
@given(state=cycles())
def test_saturation_is_a_number_from_zero_and_one_where_there_is_nobody(name: str, state: State) -> None:
    cycle, rows = state
    detector = made(name)
    assert isinstance(detector, DetectorPlugin)
    assert 0 <= detector.saturation(cycle, rows) < float("inf")
    assert detector.saturation(cycle, rows[:0]) == 1


@given(
    state=cycles(),
    filters=st.lists(st.sampled_from([name for name in KEEPING if name not in SCORERS]), unique=True, max_size=3),
    scorers=st.lists(st.sampled_from(SCORERS), unique=True, max_size=5),
    picker=st.sampled_from(PICKERS),
    weight=st.integers(0, 5),
    data=st.data(),
)
def test_neither_the_order_of_plugins_nor_that_of_scorers_changes_a_decision(
    state: State, filters: list[str], scorers: list[str], picker: str, weight: int, data: st.DataObject
) -> None:
    weights = {name: weight + number * 0.1 for number, name in enumerate(scorers)}
    everything = [*filters, *scorers, picker]
    first = decide(configuration(filters, scorers, picker, weights, everything), state)
    others = data.draw(st.permutations(scorers))
    second = decide(configuration(filters, others, picker, weights, data.draw(st.permutations(everything))), state)
    assert (first is None) is (second is None)
    if first is not None and second is not None:
        assert first.rows == second.rows
        assert [each.totals.tolist() for each in first.scores] == [each.totals.tolist() for each in second.scores]


@given(state=cycles(), filters=st.permutations(ROW_BY_ROW), count=st.integers(1, 3))
def test_filters_that_judge_each_endpoint_by_itself_may_stand_in_any_order(
    state: State, filters: list[str], count: int
) -> None:
    used = [name for name in filters[:count] if name not in SCORERS]
    decisions = {
        None if decision is None else frozenset(decision.rows)
        for order in itertools.permutations(used)
        for decision in [
            decide(configuration(list(order), [], "max-score-picker", {}, [*order, "max-score-picker"]), state)
        ]
    }
    if "header-based-testing-filter" not in used:  # it orders, so that ties end otherwise
        assert len(decisions) == 1


@given(
    state=cycles(),
    filters=st.lists(st.sampled_from(KEEPING), unique=True, min_size=1, max_size=4),
    picker=st.sampled_from(PICKERS),
)
def test_no_decision_names_an_endpoint_that_a_filter_left_out(state: State, filters: list[str], picker: str) -> None:
    cycle, rows = state
    scorers = ["queue-scorer", *[name for name in filters if name in SCORERS]]
    keeping = [name for name in filters if name not in SCORERS]
    policy = configuration(keeping, scorers, picker, dict.fromkeys(scorers, 1.0), [*keeping, *scorers, picker])
    decision = decide(policy, state)
    binding = [name for name in filters if name in ROW_BY_ROW]
    alone = [set(cast(Filter, made(name)).keep(cycle, rows).tolist()) for name in binding]
    allowed = set(rows.tolist()).intersection(*alone)
    if decision is None:
        assert not allowed, "there is somebody to choose"
        return
    assert set(decision.rows) <= allowed, "not even as a fallback"
    steps = [step for step in decision.steps if step.rows is not None]
    assert steps
    assert decision.rows[0] in (steps[-1].rows.tolist() if steps[-1].rows is not None else ()), "a preference decides"


def test_every_filter_is_a_preference_a_detector_or_judges_row_by_row() -> None:
    binding = {name for name in of_role("filter") if not getattr(BUILTIN[name], "preference", False)}
    assert binding == set(ROW_BY_ROW) - {"context-length-aware"}


def disaggregated(profiles: list[str], order: str) -> Policy:
    deciders = {"encode": "always-disagg-multimodal-decider"}
    if order == "decode-first":
        deciders["prefill"] = "always-disagg-pd-decider"
    handler = {"type": "disagg-profile-handler", "parameters": {"stageOrder": order, "deciders": deciders}}
    types = [*deciders.values(), *[f"{stage}-filter" for stage in STAGES], "queue-scorer"]
    members = {stage: [{"pluginRef": f"{stage}-filter"}, {"pluginRef": "queue-scorer"}] for stage in STAGES}
    document = {
        "apiVersion": "llm-d.ai/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": [*[{"type": name} for name in types], handler],
        "schedulingProfiles": [{"name": stage, "plugins": members[stage]} for stage in profiles],
    }
    return load_policy(json.dumps(document), name="epp.yaml")


STAGES = ("decode", "prefill", "encode")


@given(
    state=cycles(),
    profiles=st.permutations(STAGES),
    order=st.sampled_from(["decode-first", "prefill-first"]),
    multimodal=st.booleans(),
)
def test_every_stage_of_a_disaggregated_request_is_served_by_its_role_in_whatever_order_profiles_stand(
    state: State, profiles: list[str], order: str, multimodal: bool
) -> None:
    cycle, rows = state
    cycle.multimodal = multimodal
    first, second = (decide(disaggregated(names, order), state) for names in (list(STAGES), profiles))
    can = {stage: set(cast(Filter, made(f"{stage}-filter")).keep(cycle, rows).tolist()) for stage in STAGES}
    if first is None or second is None:
        assert first is second
        assert not can["decode"]
        return
    assert (first.rows, first.stages, first.headers) == (second.rows, second.stages, second.headers)
    assert set(first.rows) <= can["decode"]
    for stage, chosen in first.stages.items():
        assert set(chosen) <= can[stage]
    assert bool(first.stages.get("prefill")) is bool(can["prefill"])
    assert bool(first.stages.get("encode")) is (multimodal and bool(can["encode"]))
