"""The documents to convert, as written and as read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from signalbox.resources.explain import Lines
from signalbox.resources.gatewayapi import GATEWAY_GROUP
from signalbox.resources.metadata import Resource
from signalbox.resources.parse import implied_by_list, parse_document, within
from signalbox.resources.problems import InvalidResource, Origin, Problem
from signalbox.resources.references import EXPERIMENTAL_GROUP, LLM_D_GROUP, STABLE_GROUP

Content = dict[str, Any]

CONCERNED = frozenset({EXPERIMENTAL_GROUP, STABLE_GROUP, LLM_D_GROUP, GATEWAY_GROUP})
"""The groups whose objects are converted or refer to what is; objects of others are kept unread."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document: where it stands, its content, and the lines of its fields where they are known."""

    origin: Origin
    content: Content
    lines: Lines | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a document. ``resource`` is None for objects that are kept unread or play no part here."""

    document: int
    """Index of its document among the inputs."""
    content: Content
    resource: Resource | None
    lines: Lines | None = None
    """From a path in the object to its line, where lines are known."""

    @property
    def namespace(self) -> str:
        """The namespace the object is in, ``default`` where it says none."""
        metadata = self.content.get("metadata")
        given = metadata.get("namespace") if isinstance(metadata, dict) else None
        return given if isinstance(given, str) and given else "default"


def entries_of(manifests: Iterable[Manifest]) -> Iterator[Entry | Problem]:
    """Yield the objects of every document in order, those of a List one by one, and what is wrong with them."""
    for index, manifest in enumerate(manifests):
        content = manifest.content
        if not any(_concerned(one) for one in (content, *_items(content))):
            yield Entry(index, content, None)
            continue
        try:
            parsed = parse_document(content, manifest.origin, manifest.lines)
        except InvalidResource as invalid:
            yield from invalid.problems
            continue
        listed = implied_by_list(content) is not None
        for number, (item, result) in enumerate(zip(_items(content) if listed else [content], parsed, strict=True)):
            lines = within(manifest.lines, ("items", number) if listed else ()) if manifest.lines else None
            yield Entry(index, item, result if isinstance(result, Resource) else None, lines)


def _concerned(content: Content) -> bool:
    version = content.get("apiVersion")
    # A document without a version is parsed for the sake of the problem that this is.
    return not isinstance(version, str) or version.rpartition("/")[0] in CONCERNED


def _items(content: Content) -> list[Content]:
    """Return the items of a list, each with the ``apiVersion`` and ``kind`` that a typed list implies."""
    implied, items = implied_by_list(content), content.get("items")
    if implied is None or not isinstance(items, list):
        return []
    return [implied | item for item in items if isinstance(item, dict)]
