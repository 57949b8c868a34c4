"""What an API server does with an object of a custom kind: nulls pruned, defaults set, schema and CEL rules checked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import celpy
import re2
from celpy.adapter import json_to_cel

Schema = dict[str, Any]
TYPES: dict[str, tuple[type, ...]] = {"object": (dict,), "array": (list,), "string": (str,), "integer": (int,)}


def complaints(definition: Schema, document: Schema, old: Schema | None = None) -> list[str]:
    """What a server that has the definition says against a document, or against putting it in the place of another.

    Unknown fields are refused, as ``kubectl apply`` has it. The status is not looked at: a write to the object drops
    it. ``metadata`` is the server's own affair.
    """
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    checked = [_settled(schema, one) for one in (document, old) if one is not None]
    return list(_validate(schema, checked[0], checked[1] if old is not None else None, ""))


def _settled(schema: Schema, document: Schema) -> Schema:
    settled = defaulted(schema, {name: value for name, value in document.items() if name != "status"})
    assert isinstance(settled, dict)
    return settled


def defaulted(schema: Schema, value: Any) -> Any:
    """The value with its defaults, and without nulls where a value may be absent."""
    if isinstance(value, list):
        return [defaulted(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict):
        return value
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    given = {name: content for name, content in value.items() if content is not None}
    defaults = {name: part["default"] for name, part in properties.items() if "default" in part}
    return {name: defaulted(properties.get(name, others), content) for name, content in (defaults | given).items()}


def _validate(schema: Schema, value: Any, old: Any, path: str) -> Iterator[str]:
    """Complaints about the schema, or, where there is none, about what is said between fields and items."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if "type" in schema and (not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool)):
        yield f"{path}: is no {schema['type']}"
        return
    found = [
        *(f"{path}: is outside of {limit}" for limit in _limits(schema, value)),
        *_inside(schema, value, old, path),
    ]
    yield from found or _between(schema, value, old, path)


def _inside(schema: Schema, value: Any, old: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _validate(schema.get("items", {}), item, None, f"{path}[{index}]")
    if not isinstance(value, dict):
        return
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    yield from (f"{path}.{name}: is missing" for name in schema.get("required", ()) if name not in value)
    for name, content in value.items():
        part = properties.get(name, others)
        if part is None and "type" in schema:
            yield f"{path}.{name}: is unknown"
        elif part is not None and (path or name != "metadata"):
            before = old.get(name) if isinstance(old, dict) else None
            yield from _validate(part, content, before, f"{path}.{name}")


def _between(schema: Schema, value: Any, old: Any, path: str) -> Iterator[str]:
    if schema.get("x-kubernetes-list-type") == "map":
        keys = [tuple(item[key] for key in schema["x-kubernetes-list-map-keys"]) for item in value]
        if len(set(keys)) < len(keys):
            yield f"{path}: has duplicates"
    if "anyOf" in schema and all(any(_validate(one, value, None, path)) for one in schema["anyOf"]):
        yield f"{path}: fits nothing of anyOf"
    if "not" in schema and not any(_validate(schema["not"], value, None, path)):
        yield f"{path}: fits what it must not"
    for rule in schema.get("x-kubernetes-validations", ()):
        if ("oldSelf" not in rule["rule"] or old is not None) and not _holds(rule["rule"], value, old):
            yield f"{path}: {rule['message']}"


def _limits(schema: Schema, value: Any) -> Iterator[str]:
    """The names of the limits that a value is outside of."""
    if "enum" in schema and value not in schema["enum"]:
        yield "enum"
    if isinstance(value, int):
        low, high = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)
        if not low <= value <= high:
            yield "minimum" if value < low else "maximum"
        return
    suffix = "Length" if isinstance(value, str) else "Items" if isinstance(value, list) else "Properties"
    if len(value) < schema.get(f"min{suffix}", 0):
        yield f"min{suffix}"
    if len(value) > schema.get(f"max{suffix}", len(value)):
        yield f"max{suffix}"
    if isinstance(value, str) and "pattern" in schema and not re2.search(schema["pattern"], value):
        yield "pattern"


@cache
def _program(rule: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule))


def _holds(rule: str, value: Any, old: Any) -> bool:
    activation = {"self": json_to_cel(value)} | ({} if old is None else {"oldSelf": json_to_cel(old)})
    return bool(_program(rule).evaluate(activation))
