"""The printed CustomResourceDefinitions keep the rules of structural schemas, with CEL and without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import re2
from tests.resources.structural import complaints, defaulted

from signalbox.resources.crds import DEFINITIONS, custom_resource_definition

Schema = dict[str, Any]
PRINTED = {one.name: custom_resource_definition(one) for one in DEFINITIONS}
WITHOUT_CEL = {one.name: custom_resource_definition(one, cel=False) for one in DEFINITIONS}


def root(printed: Schema) -> Schema:
    schema: Schema = printed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def schemas(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema below one, outside of anyOf and not, with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from schemas(part, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from schemas(schema[word], f"{path}[]")


EVERY = [
    pytest.param(printed, id=f"{name}-{cel}")
    for cel, all_ in (("cel", PRINTED), ("without-cel", WITHOUT_CEL))
    for name, printed in all_.items()
]
FORBIDDEN = {"$ref", "definitions", "oneOf", "patternProperties", "propertyNames", "uniqueItems", "const", "nullable"}
NESTED_FORBIDDEN = {"type", "default", "description", "additionalProperties", "x-kubernetes-list-type"}


def assert_only_restricts(alternatives: Schema, schema: Schema) -> None:
    """What stands in anyOf and not speaks of fields that the schema itself has, and types or defaults nothing."""
    for nested in (*alternatives.get("anyOf", ()), *([alternatives["not"]] if "not" in alternatives else [])):
        assert_restricts(nested, schema)


def assert_restricts(nested: Schema, schema: Schema) -> None:
    assert not NESTED_FORBIDDEN & set(nested)
    assert set(nested.get("required", ())) | set(nested.get("properties", {})) <= set(schema.get("properties", {}))
    for name, part in nested.get("properties", {}).items():
        assert_restricts(part, schema["properties"][name])
    if "items" in nested:
        assert_restricts(nested["items"], schema["items"])
    assert_only_restricts(nested, schema)


@pytest.mark.parametrize("printed", EVERY)
def test_schemas_are_structural(printed: Schema) -> None:
    for path, schema in schemas(root(printed)):
        assert schema["type"] in {"object", "array", "string", "integer"}, path
        assert not FORBIDDEN & set(schema), path
        assert not {"properties", "additionalProperties"} <= set(schema), path
        assert set(schema.get("required", ())) <= set(schema.get("properties", {})), path
        if schema["type"] == "array":
            assert "items" in schema, path
        if "pattern" in schema:
            re2.compile(schema["pattern"])
        assert_only_restricts(schema, schema)
    assert root(printed)["properties"]["metadata"] == {"type": "object"}


@pytest.mark.parametrize("printed", EVERY)
def test_the_keys_of_list_maps_are_required_scalars(printed: Schema) -> None:
    for path, schema in schemas(root(printed)):
        assert (schema.get("x-kubernetes-list-type") == "map") == ("x-kubernetes-list-map-keys" in schema), path
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            assert key in schema["items"]["required"], path
            assert schema["items"]["properties"][key]["type"] in {"string", "integer"}, path


@pytest.mark.parametrize("printed", EVERY)
def test_defaults_are_valid(printed: Schema) -> None:
    found = [(path, schema) for path, schema in schemas(root(printed)) if "default" in schema]
    for path, schema in found:
        field = {"type": "object", "properties": {"field": schema}}
        wrapped = {"spec": {"versions": [{"schema": {"openAPIV3Schema": field}}]}}
        assert complaints(wrapped, {"field": defaulted(schema, schema["default"])}) == [], path


def test_servers_without_cel_get_nothing_they_do_not_know() -> None:
    for printed in WITHOUT_CEL.values():
        for path, schema in schemas(root(printed)):
            assert "x-kubernetes-validations" not in schema, path
            assert schema.get("default") != "", path


def test_servers_without_cel_are_told_the_rules_in_other_words() -> None:
    pool = root(WITHOUT_CEL["inferencepools.inference.networking.k8s.io"])["properties"]["spec"]["properties"]
    model = root(WITHOUT_CEL["inferencemodels.inference.networking.x-k8s.io"])["properties"]["spec"]["properties"]
    assert pool["targetPorts"]["x-kubernetes-list-type"] == "map"
    assert pool["targetPorts"]["x-kubernetes-list-map-keys"] == ["number"]
    assert "anyOf" in pool["endpointPickerRef"]
    assert "anyOf" in model["targetModels"]


def test_every_object_of_a_spec_is_explained() -> None:
    for name, printed in PRINTED.items():
        spec = root(printed)["properties"].get("spec")
        for path, schema in schemas(spec) if spec else ():
            if "properties" in schema:
                assert len(schema["description"]) > 20, (name, path)
                assert not re2.search("`|_", schema["description"]), (name, path)
