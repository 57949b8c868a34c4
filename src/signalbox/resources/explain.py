"""Validation errors in plain words: which field, what is wrong with it, what to write instead."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from signalbox.resources.problems import Origin, Problem
from signalbox.resources.strict import FAULT, describe
from signalbox.resources.suggestions import choose

Path = tuple[str | int, ...]
Lines = Callable[[Path], int]
"""From a path in a document to the line, from 1, of the deepest part of it that exists."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_EXPECTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as people write it: ``spec.targetModels[0].weight``, ``metadata.labels["a.b/c"]``."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            written += f".{part}" if written else part
        else:
            written += f'["{part}"]'
    return written


def problems_of(
    error: ValidationError, model: type[BaseModel], origin: Origin, kind: str, name: str, lines: Lines | None
) -> list[Problem]:
    """Return one Problem for each error found in a document that was read as ``model``."""
    problems = []
    for details in error.errors(include_url=False):
        path: Path = tuple(part for part in details["loc"] if part != "[key]")
        message, fix, deeper = _explain(details, path, model)
        path += deeper
        place = origin._replace(line=lines(path)) if lines else origin
        problems.append(Problem(place, kind, name, dotted(path), message, fix))
    return sorted(problems, key=lambda problem: problem.origin.line)


def _explain(details: ErrorDetails, path: Path, model: type[BaseModel]) -> tuple[str, str, Path]:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == FAULT:
        return context["message"], context["fix"], tuple(context["at"])
    if kind == "missing":
        return "is required", f"add {path[-1]}", ()
    if kind == "extra_forbidden":
        return "is not a known field", _fix_unknown(str(path[-1]), fields_at(model, path[:-1])), ()
    if kind in ("enum", "literal_error"):
        allowed = re.findall(r"'([^']*)'", context["expected"])
        otherwise = "use one of them" if len(allowed) > 1 else f"write {allowed[0]}"
        if isinstance(value, str):
            fix = choose(value, allowed, otherwise)
        else:
            fix = f'put it in quotes: "{value}"' if str(value) in allowed else otherwise
        message = f"must be one of {', '.join(allowed)}" if len(allowed) > 1 else f"must be {allowed[0]}"
        return f"{message}, got {describe(value)}", fix, ()
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {describe(value)}", _fix_type(kind, value), ()
    return details["msg"], "correct the value", ()


def _fix_unknown(field: str, known: Sequence[str]) -> str:
    listed = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return choose(field, known, f"remove it; the fields here are {listed}" if listed else "remove it; there are none")


def _fix_type(kind: str, value: object) -> str:
    match kind, value:
        case "int_type", str() if re.fullmatch(r"[+-]?[0-9]+", value):
            return f"write {value} without quotes"
        case "int_type", _:
            return "write a whole number"
        case "float_type", str() if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", value):
            return f"write {value} without quotes"
        case "float_type", _:
            return "write a plain number"
        case "string_type", bool() | int() | float():
            written = str(value).lower() if isinstance(value, bool) else value
            return f'put it in quotes: "{written}"'
        case "bool_type", str() if value.lower() in ("true", "false"):
            return f"write {value.lower()} without quotes"
        case "bool_type", _:
            return "write true or false"
        case "tuple_type" | "list_type", _:
            return "start each entry with '- '"
        case "string_type", None:
            return 'write "" for an empty text'
        case "string_type", _:
            return "write a single text"
    return "write 'name: value' lines, indented under it"


def fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """Return the names that fields have in a document at ``path`` inside ``model``; empty where no model is."""
    annotation: Any = model
    for part in path:
        nested = _model_in(annotation)
        if isinstance(part, int) or nested is None:
            annotation = _item_of(annotation)
            continue
        known = {info.alias or name: info.annotation for name, info in nested.model_fields.items()}
        annotation = known.get(part)
    nested = _model_in(annotation)
    return [info.alias or name for name, info in nested.model_fields.items()] if nested else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for option in typing.get_args(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel) and typing.get_origin(annotation) is not tuple:
            return option
    return None


def _item_of(annotation: Any) -> Any:
    arguments = typing.get_args(annotation)
    return arguments[0] if arguments else None
