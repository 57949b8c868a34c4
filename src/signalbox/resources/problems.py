"""Where an object came from, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Origin(NamedTuple):
    """The place of an object in a file; ``document`` and ``line`` count from 1, 0 means the file as a whole."""

    path: str
    document: int = 0
    line: int = 0

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place} document {self.document}" if self.document else place


class Key(NamedTuple):
    """What makes two objects the same object. The version an object was written in is no part of it."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what to do about it. ``kind``, ``name`` and ``field`` are empty where unknown."""

    origin: Origin
    kind: str
    name: str
    field: str
    message: str
    fix: str

    def __str__(self) -> str:
        subject = f" {self.kind}/{self.name or '?'}" if self.kind else ""
        field = f" {self.field}" if self.field else ""
        return f"{self.origin}{subject}{field}: {self.message}; {self.fix}"


def unexpected(origin: Origin, error: Exception) -> Problem:
    """What is said of a text whose check raised what no check is to raise."""
    said = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    fix = "the text may be right: report this, with the traceback in the log, to Signalbox or to whose plugin it names"
    return Problem(origin, "", "", "", f"could not be checked ({said})", fix)


class InvalidResource(Exception):
    """A document that is not a valid object. ``problems`` holds everything found wrong with it, at least one."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Skipped:
    """A valid-looking document of a kind that plays no part here."""

    origin: Origin
    kind: str
    name: str
    reason: str
    """``"not needed here"`` for kinds that matter only in a cluster, ``"ignored"`` for kinds nobody here knows."""
