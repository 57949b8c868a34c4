"""Models into structural schemas: OpenAPI v3 as CustomResourceDefinitions know it, without references."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from pydantic import AfterValidator
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from signalbox.resources.limits import INT64, Entries, Range, Rule, Text
from signalbox.resources.strict import Strict

Schema = dict[str, Any]

_INT32 = 2**31


def structural_schema(annotation: Any, metadata: Iterable[object] = (), *, cel: bool) -> Schema:
    """Return the schema of a type as models annotate their fields, with the limits found in ``metadata``.

    With ``cel`` rules are written as CEL; without, in the words of a schema, for API servers before 1.25. Then an empty
    default is left out too: it says nothing, and such servers take an empty text for null when built with a newer Go.

    Raises TypeError for a type that no field of an inference kind has.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return structural_schema(arguments[0], (*arguments[1:], *metadata), cel=cel)
    if origin in (typing.Union, types.UnionType):
        (given,) = [argument for argument in arguments if argument is not types.NoneType]
        return structural_schema(given, metadata, cel=cel)
    if origin is tuple:
        items = structural_schema(arguments[0], cel=cel)
        schema: Schema = {"type": "array", "items": items, "x-kubernetes-list-type": "atomic"}
    elif origin is dict:
        # A key's own rules are lost: a structural schema cannot speak about keys.
        schema = {"type": "object", "additionalProperties": structural_schema(arguments[1], cel=cel)}
    elif annotation in (str, int):
        schema = {"type": "string" if annotation is str else "integer"}
    elif isinstance(annotation, type) and issubclass(annotation, StrEnum):
        schema = {"type": "string", "enum": [member.value for member in annotation]} | _description(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, Strict):
        schema = _object(annotation, cel=cel)
    else:
        raise TypeError(f"no schema is known for {annotation!r}")
    return schema | _limits(schema, metadata) | _rules([part for part in metadata if isinstance(part, Rule)], cel=cel)


def _object(model: type[Strict], *, cel: bool) -> Schema:
    properties = {
        field.alias or name: structural_schema(field.annotation, field.metadata, cel=cel) | _default(field, cel=cel)
        for name, field in model.model_fields.items()
    }
    required = [field.alias or name for name, field in model.model_fields.items() if field.is_required()]
    schema: Schema = {"type": "object", **_description(model), "properties": properties}
    if required:
        schema["required"] = required
    return schema | _rules(getattr(model, "schema_rules", ()), cel=cel)


def _description(documented: type) -> Schema:
    paragraph = inspect.cleandoc(documented.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return {"description": re.sub(r"``(\w+)``", lambda name: to_camel(name[1]), paragraph).replace("``", "'")}


def _default(field: FieldInfo, *, cel: bool) -> Schema:
    value = field.default
    if field.is_required() or not isinstance(value, str) or not (value or cel):
        return {}
    return {"default": str(value)}


def _limits(schema: Schema, metadata: Iterable[object]) -> Schema:
    found: Schema = {}
    for part in metadata:
        match part:
            case AfterValidator(func=Range(minimum=minimum, maximum=maximum)) if maximum < INT64 - 1:
                found |= {"minimum": minimum, "maximum": maximum}
                if minimum >= -_INT32 and maximum < _INT32:
                    found["format"] = "int32"
            case AfterValidator(func=Text() as limits):
                found |= _positive(minLength=limits.minimum, maxLength=limits.maximum)
                if limits.pattern is not None:
                    pattern = limits.pattern.pattern
                    found["pattern"] = pattern if pattern.startswith("^") else f"^{pattern}$"
            case AfterValidator(func=Entries(minimum=minimum, maximum=maximum)) if schema["type"] == "array":
                found |= _positive(minItems=minimum, maxItems=maximum)
            case AfterValidator(func=Entries(minimum=minimum, maximum=maximum)):
                found |= _positive(minProperties=minimum, maxProperties=maximum)
    return found


def _positive(**limits: int | None) -> Schema:
    return {name: limit for name, limit in limits.items() if limit}


def _rules(rules: Iterable[Rule], *, cel: bool) -> Schema:
    if cel:
        written = [{"rule": rule.expression, "message": rule.message} for rule in rules]
        return {"x-kubernetes-validations": written} if written else {}
    found: Schema = {}
    for rule in rules:
        found |= rule.without_cel or {}
    return found
