"""Documents into objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from signalbox.resources.annotations import annotation_problems
from signalbox.resources.explain import Lines, Path
from signalbox.resources.hidden import all_problems
from signalbox.resources.inferencepool_v1alpha2 import InferencePoolV1Alpha2
from signalbox.resources.kinds import GROUPS, KINDS, NEIGHBOURS, NOT_NEEDED, SHARED_NAMES
from signalbox.resources.metadata import Resource
from signalbox.resources.problems import InvalidResource, Origin, Problem, Skipped
from signalbox.resources.strict import describe
from signalbox.resources.suggestions import nearest

PICKER_CONFIGURATION = "EndpointPickerConfig"
"""A file of the picker's, not an object of the cluster's, though it looks like one."""


def parse_resource(document: Mapping[str, Any], origin: Origin, lines: Lines | None = None) -> Resource | Skipped:
    """Return the object a document describes, or Skipped for a kind that is not read here.

    An InferencePool in v1alpha2 comes back in v1. ``lines`` maps a path such as ``("spec", "rules", 0)`` to the line of
    the deepest part of it that the document has; without it problems are placed at ``origin``.

    Raises InvalidResource with every problem found, not only the first.
    """
    kind, version, name = document.get("kind"), document.get("apiVersion"), _name_of(document)
    _require_text(document, "kind", origin, "", name, lines)
    _require_text(document, "apiVersion", origin, str(kind), name, lines)
    assert isinstance(kind, str)
    assert isinstance(version, str)

    def problem(field: str, message: str, fix: str) -> InvalidResource:
        place = origin._replace(line=lines((field,))) if lines else origin
        return InvalidResource([Problem(place, kind, name, field, message, fix)])

    group = version.rpartition("/")[0]
    if kind not in KINDS:
        if kind == "List" and version == "v1":
            raise problem("kind", "is a List where one object was expected", "move its items up into documents")
        if kind in NOT_NEEDED:
            return Skipped(origin, kind, name, "not needed here")
        if kind == PICKER_CONFIGURATION:
            return Skipped(origin, kind, name, "not an object of the cluster: give the file to --config-file")
        known_kinds = (*KINDS, PICKER_CONFIGURATION)
        guess = None if kind in NEIGHBOURS or group not in GROUPS else nearest(kind, known_kinds, cutoff=0.8)
        if guess:
            raise problem("kind", f"{kind!r} is not a known kind", f"did you mean '{guess}'?")
        return Skipped(origin, kind, name, "ignored")

    model = KINDS[kind].get(version)
    if model is None:
        if kind in SHARED_NAMES and _is_foreign(group):
            return Skipped(origin, kind, name, "ignored")
        known = " or ".join(KINDS[kind])
        raise problem("apiVersion", f"{version!r} is not a known version of {kind}", f"write {known}")
    try:
        resource = model.model_validate(dict(document), by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidResource(all_problems(error, document, model, origin, kind, name, lines)) from None
    if problems := tuple(annotation_problems(resource, origin, lines)):
        raise InvalidResource(problems)
    if isinstance(resource, InferencePoolV1Alpha2):
        resource = resource.to_v1()
    resource.read_from(origin, written_as=version)
    return resource


def parse_document(
    document: Mapping[str, Any], origin: Origin, lines: Lines | None = None
) -> tuple[Resource | Skipped, ...]:
    """Return the objects a document holds: one, or the items of a ``v1`` List or of a list such as PodList.

    Items of a typed list may leave out ``apiVersion`` and ``kind``. Raises InvalidResource with the problems of all.
    """
    implied = implied_by_list(document)
    if implied is None:
        return (parse_resource(document, origin, lines),)
    kind, items, name = document.get("kind"), document.get("items"), _name_of(document)
    if not isinstance(items, list):
        place = origin._replace(line=lines(("items",))) if lines else origin
        found = "is required" if items is None else f"expected a list, got {describe(items)}"
        fix = "add items, or [] for none" if items is None else "start each entry with '- '"
        raise InvalidResource([Problem(place, str(kind), name, "items", found, fix)])
    parsed: list[Resource | Skipped] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        item_lines = within(lines, ("items", index)) if lines else None
        place = origin._replace(line=item_lines(())) if item_lines else origin
        if not isinstance(item, dict):
            message = f"expected a mapping, got {describe(item)}"
            problems.append(Problem(place, str(kind), name, f"items[{index}]", message, "write one object per entry"))
            continue
        try:
            parsed.append(parse_resource(implied | item, place, item_lines))
        except InvalidResource as invalid:
            problems.extend(invalid.problems)
    if problems:
        raise InvalidResource(problems)
    return tuple(parsed)


def implied_by_list(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields that a list implies for its items: none for a plain List. None where it is no list."""
    kind = document.get("kind")
    if not (isinstance(kind, str) and kind.endswith("List")):
        return None
    item_kind = kind.removesuffix("List")
    if item_kind and item_kind not in KINDS and item_kind not in NOT_NEEDED:
        return None
    return {"apiVersion": document.get("apiVersion"), "kind": item_kind} if item_kind else {}


def within(lines: Lines, place: Path) -> Lines:
    """Return the lines of what stands at ``place`` in a document."""
    return lambda path: lines((*place, *path))


def _name_of(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""


def _require_text(
    document: Mapping[str, Any], field: str, origin: Origin, kind: str, name: str, lines: Lines | None
) -> None:
    value = document.get(field)
    if isinstance(value, str) and value:
        return
    example = "kind: InferenceModel" if field == "kind" else "apiVersion: v1"
    message = "is required" if value is None or value == "" else f"expected a string, got {describe(value)}"
    place = origin._replace(line=lines((field,))) if lines else origin
    raise InvalidResource([Problem(place, kind, name, field, message, f"write it like '{example}'")])


def _is_foreign(group: str) -> bool:
    """Whether a group is some other project's: it has a domain that is not Kubernetes' own and no misspelling of it."""
    if "." not in group or group.endswith(".k8s.io") or group.endswith(".x-k8s.io"):
        return False
    return nearest(group, GROUPS, cutoff=0.85) is None
