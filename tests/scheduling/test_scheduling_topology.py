"""Endpoints near to the one chosen before: one host, rack, zone or region."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.scheduling import InvalidPolicy, load_policy
from signalbox.scheduling.filters import TopologyAffinityFilter
from signalbox.scheduling.filters.topology_affinity import TopologyAffinityFilterParameters
from signalbox.scheduling.producers import TopologyExtractor
from signalbox.scheduling.producers.topology import TopologyParameters
from signalbox.scheduling.scorers import TopologyAffinityScorer

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def at(host: str = "", rack: str = "", zone: str = "", region: str = "") -> dict[str, str]:
    """The labels of a pod there."""
    labels = {
        "kubernetes.io/hostname": host,
        "topology.kubernetes.io/rack": rack,
        "topology.kubernetes.io/zone": zone,
        "topology.kubernetes.io/region": region,
    }
    return {name: value for name, value in labels.items() if value}


PLACES = [
    at("h1", "r1", "z1", "eu"),
    at("h1", "r1", "z1", "eu"),
    at("h2", "r1", "z1", "eu"),
    at("h3", "r2", "z1", "eu"),
    at("h4", "r3", "z2", "eu"),
    at("h5", "r4", "z3", "us"),
    {},
]


def plugins(floor: str = "host", **labels: str) -> tuple[TopologyAffinityScorer, TopologyAffinityFilter]:
    extractor = TopologyExtractor(TopologyParameters(**labels))
    scorer = TopologyAffinityScorer()
    keeping = TopologyAffinityFilter(
        TopologyAffinityFilterParameters.model_validate({"minAffinity": floor}, by_alias=True, by_name=False)
    )
    for plugin in (scorer, keeping):
        plugin.connect({"topology-extractor": extractor})
    return scorer, keeping


def test_the_closest_level_that_is_shared_is_the_score(world: Any) -> None:
    state = world(len(PLACES), labels=PLACES)
    scorer, _ = plugins()
    cycle = state.cycle(peer=0)
    expected = [1, 1, 0.2, 0.05, 0.02, 0, 0]
    assert scorer.score(cycle, state.rows).tolist() == expected
    assert scorer.score_few(cycle, state.rows.tolist()) == expected
    assert scorer.score(cycle, state.rows[[5, 2]]).tolist() == [0, 0.2]


@pytest.mark.parametrize(
    ("floor", "expected"), [("host", [0, 1]), ("rack", [0, 1, 2]), ("zone", [0, 1, 2, 3]), ("region", [0, 1, 2, 3, 4])]
)
def test_the_filter_keeps_who_is_near_enough(world: Any, floor: str, expected: list[int]) -> None:
    state = world(len(PLACES), labels=PLACES)
    assert plugins(floor)[1].keep(state.cycle(peer=0), state.rows).tolist() == expected


@pytest.mark.parametrize("peer", [None, 6])
def test_without_somebody_to_be_near_to_all_are_alike(world: Any, peer: int | None) -> None:
    state = world(len(PLACES) - 1, labels=PLACES[:6])
    state.endpoints = {**state.endpoints, **world(7, labels=PLACES).endpoints}
    scorer, keeping = plugins("region")
    rows = state.rows[:6]
    cycle = state.cycle(peer=peer)
    assert scorer.score(cycle, rows).tolist() == [0] * 6
    assert scorer.score_few(cycle, rows.tolist()) == [0] * 6
    assert keeping.keep(cycle, rows).tolist() == rows.tolist()


def test_where_nobody_is_near_enough_all_stay(world: Any) -> None:
    state = world(3, labels=[at("h1", zone="z1"), at("h2", zone="z2"), at("h3")])
    scorer, keeping = plugins("zone")
    cycle = state.cycle(peer=0)
    assert keeping.keep(cycle, state.rows[1:]).tolist() == [1, 2]
    assert scorer.score(cycle, state.rows[1:]).tolist() == [0, 0]


def test_other_labels_can_be_named(world: Any) -> None:
    state = world(2, labels=[{"nvl": "a"}, {"nvl": "a"}])
    assert plugins()[0].score(state.cycle(peer=0), state.rows).tolist() == [1, 0], "its own pod is its host"
    assert plugins(rack="nvl")[0].score(state.cycle(peer=0), state.rows).tolist() == [1, 0.2]


DISAGGREGATED = (
    HEAD
    + """plugins:
- type: topology-extractor
- type: always-disagg-pd-decider
- type: decode-filter
- type: prefill-filter
- type: topology-affinity-scorer
- type: disagg-profile-handler
  parameters: {ORDERdeciders: {DECIDER}}
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: topology-affinity-scorer}]}
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: topology-affinity-scorer}]}
dataLayer: {sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef: topology-extractor}]}]}
"""
)


@pytest.mark.parametrize(
    ("order", "decider"), [("", "prefill: always-disagg-pd-decider"), ("stageOrder: prefill-first, ", "")]
)
def test_the_stages_of_a_request_choose_near_to_one_another(world: Any, order: str, decider: str) -> None:
    labels = [{**at(f"h{row % 4}"), "llm-d.ai/role": "decode" if row < 4 else "prefill"} for row in range(8)]
    state = world(8, labels=labels)
    policy = load_policy(DISAGGREGATED.replace("ORDER", order).replace("DECIDER", decider), name="x")
    for seed in range(20):
        decision = policy.schedule(state.cycle(seed=seed), state.rows)
        assert decision is not None
        assert decision.stages["prefill"][0] == decision.rows[0] + 4
    assert not policy.faults


def test_an_extractor_that_is_named_must_be_there() -> None:
    with pytest.raises(InvalidPolicy, match="'mine' is not a plugin of type topology-extractor"):
        load_policy(
            HEAD + "plugins: [{type: topology-affinity-scorer, parameters: {topologyProducerName: mine}}]", name="x"
        )


@pytest.mark.parametrize("label", ["", "rack of it", "-rack", "example.com/rack/row", "a/" + "b" * 64])
def test_what_is_no_name_of_a_label_is_a_problem_of_its_field(label: str) -> None:
    text = HEAD + f"plugins:\n- {{type: topology-extractor, parameters: {{rack: {label!r}}}}}\n"
    with pytest.raises(InvalidPolicy, match=r"plugins\[0\]\.parameters\.rack: "):
        load_policy(text, name="x")
