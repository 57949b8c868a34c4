"""What is refused here is what an API server with the printed definitions refuses, with and without CEL."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.resources.structural import complaints

from signalbox.resources import KINDS, InvalidResource, Origin, Resource, check_update, parse_resource
from signalbox.resources.crds import DEFINITIONS, Definition, custom_resource_definition

Path = tuple[str | int, ...]
Edge = tuple[Path, Any]
ABSENT = "<absent>"

POOL_REF = {"group": "a.b", "kind": "InferencePool", "name": "p"}
FULL_SPECS: dict[tuple[str, str], dict[str, Any]] = {
    ("InferencePool", "v1"): {
        "selector": {"matchLabels": {"app": "llama"}},
        "targetPorts": [{"number": 8000}, {"number": 8001}],
        "appProtocol": "http",
        "endpointPickerRef": {
            "group": "a.b",
            "kind": "Service",
            "name": "epp",
            "port": {"number": 9002},
            "failureMode": "FailOpen",
        },
    },
    ("InferencePool", "v1alpha2"): {
        "selector": {"app": "llama"},
        "targetPortNumber": 8000,
        "extensionRef": {
            "group": "a.b",
            "kind": "Service",
            "name": "epp",
            "portNumber": 9002,
            "failureMode": "FailClose",
        },
    },
    ("InferenceModel", "v1alpha2"): {
        "modelName": "food-review",
        "criticality": "Critical",
        "targetModels": [{"name": "v1", "weight": 90}, {"name": "v2", "weight": 10}],
        "poolRef": POOL_REF,
    },
    ("InferenceObjective", "v1alpha2"): {"poolRef": POOL_REF, "priority": 1},
    ("InferenceModelRewrite", "v1alpha2"): {
        "poolRef": POOL_REF,
        "rules": [
            {
                "matches": [{"model": {"type": "Exact", "value": "a"}}],
                "targets": [{"modelRewrite": "b", "weight": 1}],
            }
        ],
    },
}
"""A spec of each kind with every field given, so that there is something to change at every place."""

WITH_SPEC = [one for one in DEFINITIONS if "spec" in KINDS[one.kind][f"{one.group}/{one.version}"].model_fields]
PRINTED = {(one.name, cel): custom_resource_definition(one, cel=cel) for one in DEFINITIONS for cel in (True, False)}


def spec_schema(definition: Definition) -> dict[str, Any]:
    version = PRINTED[definition.name, True]["spec"]["versions"][0]
    spec: dict[str, Any] = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return spec


def edges(schema: dict[str, Any], path: Path) -> Iterator[Edge]:
    """For every place below ``path``: values on both sides of each limit, of other types, and none."""
    for value in _values(schema):
        yield path, value
    if path and isinstance(path[-1], str):
        yield path, ABSENT
        yield path, None
    for name, part in schema.get("properties", {}).items():
        yield from edges(part, (*path, name))
    if "items" in schema:
        yield from edges(schema["items"], (*path, 0))
        yield (*path, 0), None
    if "additionalProperties" in schema:
        yield from (((*path, "app"), value) for value in _values(schema["additionalProperties"]))


def _values(schema: dict[str, Any]) -> Iterator[Any]:
    yield from ("x", 5, 1.5, True, [], {})
    match schema["type"]:
        case "integer":
            low, high = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)
            yield from (low - 1, low, high, high + 1, "5")
        case "string" if "enum" in schema:
            yield from (*schema["enum"], schema["enum"][0].lower(), "")
        case "string":
            longest = schema.get("maxLength", 300)
            yield from ("", "a" * longest, "a" * (longest + 1), "é" * longest, "a\n", "A b", "-a", "a-", "a.b", "A.B")
            yield from ("1", "a..b", "Service", "a_b")
        case "array":
            fewest, most = schema.get("minItems", 0), schema.get("maxItems", 3)
            counts = [count for count in (fewest - 1, fewest, most, most + 1) if count >= 0]
            yield from ([_item(schema["items"], index) for index in range(count)] for count in counts)
            yield [_item(schema["items"], 1), _item(schema["items"], 1)]
        case "object" if "additionalProperties" in schema:
            yield from ({f"label-{index}": "x" for index in range(count)} for count in (0, 1, 64, 65))
        case "object":
            yield {"surprise": 1}


def _item(schema: dict[str, Any], number: int) -> Any:
    """The least that an item of a list has to hold; numbers differ."""
    match schema["type"]:
        case "integer":
            return number + 1
        case "string":
            return "a"
        case "array":
            return [_item(schema["items"], 0) for _ in range(schema.get("minItems", 0))]
    return {name: _item(schema["properties"][name], number) for name in schema.get("required", ())}


def document(definition: Definition, changes: list[Edge]) -> dict[str, Any]:
    spec = deepcopy(FULL_SPECS[definition.kind, definition.version])
    whole: dict[str, Any] = {
        "apiVersion": f"{definition.group}/{definition.version}",
        "kind": definition.kind,
        "metadata": {"name": "it"},
        "spec": spec,
    }
    for path, value in changes:
        target: Any = whole
        try:
            for part in path[:-1]:
                target = target[part]
            if value is ABSENT:
                del target[path[-1]]
            else:
                target[path[-1]] = deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    return whole


def refused(whole: dict[str, Any]) -> list[str]:
    try:
        assert isinstance(parse_resource(whole, Origin("a.yaml")), Resource)
    except InvalidResource as invalid:
        return [str(problem) for problem in invalid.problems]
    return []


def edges_of(definition: Definition) -> list[Edge]:
    """Every edge but a spec that is not there, which is refused here and not everywhere there."""
    found = edges(spec_schema(definition), ("spec",))
    return [(path, value) for path, value in found if path != ("spec",) or value not in (ABSENT, None)]


@pytest.mark.parametrize("cel", [True, False], ids=["cel", "without-cel"])
@pytest.mark.parametrize("definition", WITH_SPEC, ids=lambda one: one.name)
def test_on_both_sides_of_every_limit_the_verdict_is_that_of_the_definition(definition: Definition, cel: bool) -> None:
    found = edges_of(definition)
    verdicts = set()
    for edge in found:
        whole = document(definition, [edge])
        there, here = complaints(PRINTED[definition.name, cel], whole), refused(whole)
        assert bool(there) == bool(here), (edge, there, here)
        verdicts.add(bool(here))
    assert verdicts == {True, False}
    assert not refused(document(definition, []))


@pytest.mark.parametrize("cel", [True, False], ids=["cel", "without-cel"])
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_several_changes_at_once_are_judged_alike(cel: bool, data: st.DataObject) -> None:
    definition = data.draw(st.sampled_from(WITH_SPEC))
    changes = data.draw(st.lists(st.sampled_from(edges_of(definition)), min_size=2, max_size=4))
    whole = document(definition, changes)
    assert bool(complaints(PRINTED[definition.name, cel], whole)) == bool(refused(whole))


@pytest.mark.parametrize("targets", range(4))
@given(data=st.data())
def test_weights_are_for_all_targets_or_none(targets: int, data: st.DataObject) -> None:
    definition = next(one for one in DEFINITIONS if one.kind == "InferenceModel")
    weights = data.draw(st.lists(st.none() | st.integers(1, 3), min_size=targets, max_size=targets))
    models = [{"name": "m"} | ({} if weight is None else {"weight": weight}) for weight in weights]
    whole = document(definition, [(("spec", "targetModels"), models)])
    mixed = len({weight is None for weight in weights}) == 2
    assert bool(refused(whole)) == mixed
    assert all(bool(complaints(PRINTED[definition.name, cel], whole)) == mixed for cel in (True, False))


@given(ports=st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_ports_differ(ports: list[int]) -> None:
    definition = DEFINITIONS[0]
    whole = document(definition, [(("spec", "targetPorts"), [{"number": port} for port in ports])])
    repeated = len(set(ports)) < len(ports)
    assert bool(refused(whole)) == repeated
    assert all(bool(complaints(PRINTED[definition.name, cel], whole)) == repeated for cel in (True, False))


@settings(deadline=None)
@given(before=st.sampled_from("ab"), after=st.sampled_from("ab"), criticality=st.sampled_from(["Critical", "Standard"]))
def test_an_update_is_judged_as_the_rule_about_old_values_judges_it(before: str, after: str, criticality: str) -> None:
    definition = next(one for one in DEFINITIONS if one.kind == "InferenceModel")
    old = document(definition, [(("spec", "modelName"), before)])
    new = document(definition, [(("spec", "modelName"), after), (("spec", "criticality"), criticality)])
    there = complaints(PRINTED[definition.name, True], new, old)
    read = [parse_resource(one, Origin("a.yaml")) for one in (old, new)]
    assert isinstance(read[0], Resource)
    assert isinstance(read[1], Resource)
    assert bool(there) == bool(check_update(read[0], read[1])) == (before != after)


STRICTER = [
    ("InferenceModel", [(("spec",), ABSENT)], "spec: is required"),
    ("InferencePool", [(("spec", "selector", "matchLabels"), {"A_/b": "x"})], "prefix that is not a DNS name"),
    ("InferencePool", [(("spec", "endpointPickerRef", "port", "number"), 9002.0)], "expected an integer"),
    ("InferencePool", [(("spec", "selector", "matchLabels"), {"a": None, "b": "x"})], "expected a string"),
]


@pytest.mark.parametrize(("kind", "changes", "said"), STRICTER, ids=[said for _, _, said in STRICTER])
def test_what_a_definition_cannot_say_is_refused_here_alone(kind: str, changes: list[Edge], said: str) -> None:
    definition = next(one for one in DEFINITIONS if one.kind == kind)
    whole = document(definition, changes)
    assert complaints(PRINTED[definition.name, True], whole) == []
    (problem,) = refused(whole)
    assert said in problem
