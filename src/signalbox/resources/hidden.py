"""Faults that stand behind others: a list is compared as a whole only once each of its entries can be read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from signalbox.resources.explain import Lines, Path, dotted, problems_of
from signalbox.resources.problems import Origin, Problem
from signalbox.resources.strict import FAULT

_ROUNDS = 4


def all_problems(
    error: ValidationError,
    document: Mapping[str, Any],
    model: type[BaseModel],
    origin: Origin,
    kind: str,
    name: str,
    lines: Lines | None,
) -> list[Problem]:
    """Return what ``error`` says of a document that was read as ``model``, and what else is wrong with it.

    Fields that cannot be read are taken away and the rest is read again. What is then said of a field that was taken
    away, of its neighbours, or of what they are in, follows from that and is left out. Entries of lists stay, so that
    the others keep their places: one that cannot be read still hides what is wrong between the others.
    """
    problems = problems_of(error, model, origin, kind, name, lines)
    rest = copy.deepcopy(dict(document))
    holders: set[Path] = set()
    for _ in range(_ROUNDS):
        taken = [path for path, rule in _places(error) if not rule and _take_away(rest, path)]
        if not taken:
            break
        holders.update(path[:-1] for path in taken)
        try:
            model.model_validate(rest, by_alias=True, by_name=False)
        except ValidationError as deeper:
            error = deeper
        else:
            break
        told = {problem.field for problem in problems}
        fresh = {dotted(path) for path, _ in _places(error) if not _follows(path, holders)} - told
        found = problems_of(error, model, origin, kind, name, lines)
        problems += [problem for problem in found if problem.field in fresh]
    return sorted(problems, key=lambda problem: problem.origin.line)


def _places(error: ValidationError) -> list[tuple[Path, bool]]:
    """Return the field each error blames, and whether it broke a rule among fields that could all be read."""
    places = []
    for details in error.errors(include_url=False):
        deeper = details["ctx"]["at"] if details["type"] == FAULT else ()
        places.append(((*[part for part in details["loc"] if part != "[key]"], *deeper), bool(deeper)))
    return places


def _follows(path: Path, holders: set[Path]) -> bool:
    """Say whether a fault at ``path`` may come of what was taken out of ``holders``: at a neighbour, or above both."""
    return any(path[:-1] == holder or path == holder[: len(path)] for holder in holders)


def _take_away(rest: Any, path: Path) -> bool:
    """Take the field at ``path`` out of ``rest``; return whether there was one."""
    *above, field = path or ("",)
    try:
        for part in above:
            rest = rest[part]
    except (LookupError, TypeError):
        return False  # gone already, with what it was in
    if not isinstance(rest, dict) or field not in rest:
        return False
    del rest[field]
    return True
