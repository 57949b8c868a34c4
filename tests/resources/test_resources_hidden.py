"""A fault of one field does not hide what is wrong between others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.resources import InvalidResource, Origin
from signalbox.resources.parse import parse_resource


def faults(document: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidResource) as caught:
        parse_resource(document, Origin("f.yaml"))
    return [problem.field for problem in caught.value.problems]


def model(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "inference.networking.x-k8s.io/v1alpha2",
        "kind": "InferenceModel",
        "metadata": {"name": "m"},
        "spec": {"modelName": "m", "poolRef": {"name": "p"}, **spec},
    }


def pool(**spec: Any) -> dict[str, Any]:
    spec = {"selector": {"matchLabels": {"app": "x"}}, "endpointPickerRef": {"name": "e", "port": {"number": 1}}} | spec
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": "p"},
        "spec": {"targetPorts": [{"number": 8000}]} | spec,
    }


def test_a_missing_weight_is_told_beside_another_fault_in_the_list() -> None:
    targets = [{"name": "a", "weight": 1, "color": "red"}, {"name": "b"}]
    assert faults(model(targetModels=targets)) == [
        "spec.targetModels[0].color",
        "spec.targetModels[1].weight",
    ]


def test_equal_ports_are_told_beside_another_fault_in_the_list() -> None:
    assert faults(pool(targetPorts=[{"number": 1, "x": 1}, {"number": 2}, {"number": 2}])) == [
        "spec.targetPorts[0].x",
        "spec.targetPorts[2].number",
    ]


@pytest.mark.parametrize(
    ("document", "only"),
    [
        (model(targetModels=[{"name": "a", "weight": 1}, {"name": "b", "weigth": 2}]), "spec.targetModels[1].weigth"),
        (model(targetModels=[{"name": "a", "weight": 1}, {"name": "b", "weight": "2"}]), "spec.targetModels[1].weight"),
        (model(modelName=5), "spec.modelName"),
        (pool(selector={"matchLabels": {"app": "x", "b": 5}}), "spec.selector.matchLabels.b"),
        (pool(endpointPickerRef={"name": "e", "port": 5}), "spec.endpointPickerRef.port"),
        (pool(selector={"matchLabels": {"app": 5}}), "spec.selector.matchLabels.app"),
        (pool(targetPorts=[{"number": "x"}]), "spec.targetPorts[0].number"),
        (pool(targetPorts=["x", {"number": 1}]), "spec.targetPorts[0]"),
    ],
)
def test_what_only_follows_from_a_fault_is_not_told(document: dict[str, Any], only: str) -> None:
    assert faults(document) == [only]


SPEC = {
    "modelName": "m",
    "criticality": "Standard",
    "poolRef": {"name": "p"},
    "targetModels": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}],
}
ODD = st.sampled_from([None, 5, "", "x", [], [None], {}, {"x": 1}])


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*SPEC, "extra"]), ODD),
    st.lists(st.one_of(ODD, st.just({"name": "c"})), max_size=3),
)
def test_no_fault_is_told_twice_and_an_unknown_field_hides_none(changes: dict[str, Any], targets: list[Any]) -> None:
    document = model(**(SPEC | {"targetModels": SPEC["targetModels"] + targets} | changes | {"unknown": 1}))  # type: ignore[operator]
    with_it = faults(document)
    assert len(set(with_it)) == len(with_it)
    del document["spec"]["unknown"]
    without = faults({**document, "metadata": {"name": "m", "odd": 1}})
    assert {*without} - {"metadata.odd"} <= {*with_it}
