"""Manifests: the YAML and JSON files under some paths, read into objects."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from signalbox.resources import (
    InvalidResource,
    Key,
    Origin,
    Problem,
    Resource,
    Skipped,
    parse_document,
    unexpected,
)
from signalbox.resources.yamltree import YAMLFault, read_json, read_yaml

log = logging.getLogger("signalbox.sources")

SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True)
class Manifests:
    """What a reading found.

    ``resources`` are in order of age: those with a ``creationTimestamp`` first, oldest first, then those without, in
    the order in which the reader first met them. ``problems`` are in the order of the files.
    """

    resources: tuple[Resource, ...]
    problems: tuple[Problem, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """The state of one file: the objects in force, and the problems of its latest content."""

    data: bytes | None
    """What it held when last read; None when it could not be read."""
    resources: tuple[Resource, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    problems: tuple[Problem, ...] = ()


class ManifestReader:
    """Reads files and directories again and again, and remembers the last good content of each file.

    A file is taken whole or not at all. While any document of a file is invalid, the objects of its last valid content
    stay in force and its problems are reported; a file that never was valid contributes nothing, not even its good
    documents. A file that is removed from a directory takes its objects with it, as ``kubectl delete`` would; one
    that is emptied does not, since many editors empty a file before they write it; a path the reader was given that
    has gone missing is a problem, and what it held stays in force.

    Directories are read recursively and in order of name: ``*.yaml``, ``*.yml`` and ``*.json``, but nothing whose name
    starts with a dot, so that a mounted ConfigMap with its ``..data`` link is read once. A path that names a file is
    read whatever its name. Where two documents describe the same object, the first counts and the other is a problem.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(dict.fromkeys(paths))
        self._files: dict[Path, dict[Path, _File]] = {}
        self._first_met: dict[Key, int] = {}
        self._met = 0

    def read(self) -> Manifests:
        """Read everything now. Never raises for what is in the files or missing: it returns problems."""
        problems: list[Problem] = []
        seen: set[str] = set()
        for root in self._paths:
            missing = _why_unusable(root)
            if missing is not None:
                problems.append(missing)
                continue
            before = self._files.get(root, {})
            now: dict[Path, _File] = {}
            for path in _listing(root, problems):
                identity = os.path.realpath(path)
                if identity in seen:
                    continue
                seen.add(identity)
                state = _read_file(path, before.get(path))
                if state is not None:
                    now[path] = state
            self._files[root] = now
        return self._collect(problems)

    def _collect(self, problems: list[Problem]) -> Manifests:
        resources: dict[Key, Resource] = {}
        skipped: list[Skipped] = []
        for files in self._files.values():
            for state in files.values():
                problems.extend(state.problems)
                skipped.extend(state.skipped)
                for resource in state.resources:
                    first = resources.setdefault(resource.key, resource)
                    if first is not resource:
                        problems.append(_already_defined(first, resource))
        self._first_met = {key: self._first_met.get(key, self._number()) for key in resources}
        return Manifests(tuple(sorted(resources.values(), key=self._age)), tuple(problems), tuple(skipped))

    def _number(self) -> int:
        self._met += 1
        return self._met

    def _age(self, resource: Resource) -> tuple[datetime, int]:
        created = resource.metadata.creation_timestamp
        return created or datetime.max.replace(tzinfo=UTC), self._first_met[resource.key]


def _already_defined(first: Resource, second: Resource) -> Problem:
    place = second.origin or Origin("")
    message = f"is already defined at {first.origin}"
    return Problem(place, second.kind, second.metadata.name, "", message, "remove or rename one of the two")


def _why_unusable(root: Path) -> Problem | None:
    if os.path.exists(root):
        return None
    return Problem(Origin(str(root)), "", "", "", "does not exist", "correct the path or create it")


def _listing(root: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield the files to read under a path, in order; each real directory is entered once."""
    if not os.path.isdir(root):
        yield root
        return
    entered: set[str] = set()

    def walk(directory: Path) -> Iterator[Path]:
        identity = os.path.realpath(directory)
        if identity in entered:
            return
        entered.add(identity)
        try:
            entries = sorted(directory.iterdir(), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(_cannot_read(directory, error))
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if os.path.isdir(entry):
                yield from walk(entry)
            elif entry.suffix.lower() in SUFFIXES and os.path.isfile(entry):
                yield entry

    yield from walk(root)


def _cannot_read(path: Path, error: OSError) -> Problem:
    reason = error.strerror or str(error)
    return Problem(Origin(str(path)), "", "", "", f"cannot be read: {reason}", "check its permissions")


def _read_file(path: Path, before: _File | None) -> _File | None:
    """Return the state of a file given its state before; None for one that has just gone."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        return replace(before or _File(None), data=None, problems=(_cannot_read(path, error),))
    if before is not None and before.data == data:
        return before
    resources, skipped, problems = _parse(path, data)
    held = before is not None and bool(before.resources or before.skipped)
    if held and not (problems or resources or skipped or _holds_documents(path, data)):
        problems = [_emptied(path)]
    if problems:
        return replace(before or _File(data), data=data, problems=tuple(problems))
    return _File(data, tuple(resources), tuple(skipped))


def _emptied(path: Path) -> Problem:
    message = "is empty; what it held before stays in force"
    return Problem(Origin(str(path)), "", "", "", message, "write it again, or delete the file to delete what it held")


def _holds_documents(path: Path, data: bytes) -> bool:
    """Whether there is any document, if only a List without items; editors empty a file before they write it anew."""
    text = data.decode("utf-8-sig")
    return path.suffix.lower() == ".json" or any(document.content is not None for document in read_yaml(text))


def _parse(path: Path, data: bytes) -> tuple[list[Resource], list[Skipped], list[Problem]]:
    resources: list[Resource] = []
    skipped: list[Skipped] = []
    problems: list[Problem] = []
    name = str(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Origin(name, 0, data[: error.start].count(b"\n") + 1)
        message = f"is not UTF-8 text: byte {data[error.start]:#04x} at offset {error.start}"
        return [], [], [Problem(place, "", "", "", message, "save it as UTF-8")]
    try:
        for document in [read_json(text)] if path.suffix.lower() == ".json" else read_yaml(text):
            if document.content is None:
                continue
            origin = Origin(name, document.number, document.line())
            if not isinstance(document.content, dict):
                message = "is not a Kubernetes object"
                problems.append(Problem(origin, "", "", "", message, "start it with 'apiVersion:' and 'kind:'"))
                continue
            try:
                parsed = parse_document(document.content, origin, document.line)
            except InvalidResource as invalid:
                problems.extend(invalid.problems)
                continue
            resources.extend(entry for entry in parsed if isinstance(entry, Resource))
            skipped.extend(entry for entry in parsed if isinstance(entry, Skipped))
    except YAMLFault as fault:
        problems.append(Problem(Origin(name, fault.document, fault.line), "", "", "", fault.message, fault.fix))
    except Exception as error:  # of our own making: what the file held before stays in force, as with any other problem
        log.exception("a file could not be checked", extra={"file": name})
        problems.append(unexpected(Origin(name), error))
    return resources, skipped, problems
