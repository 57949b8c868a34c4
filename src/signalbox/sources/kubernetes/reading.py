"""Objects from an API server into resources, with what a cluster needs more patience for than files do."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from typing import Any

from signalbox.resources import InvalidResource, Origin, Problem, Resource, parse_resource

_UNKNOWN_FIELD = "is not a known field"
_ANNOTATION = 'metadata.annotations["'
_PART = re.compile(r'\.?([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]|\["([^"]*)"\]')


@dataclass(frozen=True, slots=True)
class Read:
    """What a document gave: the object, unless it is invalid, and what is wrong with it."""

    resource: Resource | None
    problems: tuple[Problem, ...] = ()


def read(document: dict[str, Any], origin: Origin) -> Read:
    """Check a document as files are checked, but for fields that are not known, and annotations of ours that say
    nothing: those are left out, and said.

    A file with an unknown field is mistyped. An API server keeps only what its CRD knows, so an unknown field there is
    one of a newer release, and to stop serving a pool over it would be worse than to do without it.
    """
    try:
        return Read(_resource(document, origin))
    except InvalidResource as invalid:
        problems = invalid.problems
    unknown = [
        problem for problem in problems if problem.message == _UNKNOWN_FIELD or problem.field.startswith(_ANNOTATION)
    ]
    if len(unknown) < len(problems):
        return Read(None, problems)
    known = copy.deepcopy(document)
    for problem in unknown:
        _leave_out(known, problem.field)
    left_out = tuple(
        Problem(
            problem.origin,
            problem.kind,
            problem.name,
            problem.field,
            "is a field of a newer release and left out",
            "upgrade signalbox, or remove it",
        )
        if problem.message == _UNKNOWN_FIELD
        else replace(problem, message=f"{problem.message}; left out")
        for problem in unknown
    )
    try:
        return Read(_resource(known, origin), left_out)
    except InvalidResource as invalid:
        return Read(None, invalid.problems)


def _resource(document: dict[str, Any], origin: Origin) -> Resource:
    resource = parse_resource(document, origin)
    assert isinstance(resource, Resource)  # only kinds that are read are asked for
    return resource


def _leave_out(document: Any, field: str) -> None:
    parts: list[str | int] = [int(index) if index else name or quoted for name, index, quoted in _PART.findall(field)]
    for part in parts[:-1]:
        document = document[part]
    del document[parts[-1]]
