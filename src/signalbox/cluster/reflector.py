"""Following one collection of objects, without doing it: what to ask next, and what the answers change.

The protocol is Kubernetes' list and watch. A list names the version of the collection it shows; a watch from that
version reports each change, and each report carries the version to go on from. Bookmarks carry nothing but a version,
so that a collection in which nothing happens still can be resumed. A server that no longer remembers a version answers
410, and then everything is listed again. Nothing compares clocks: what is known is as old as the watch is broken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Generic, Protocol, TypeVar

from signalbox.cluster.errors import ApiFailure, Refused

PAGE = 500
"""Objects asked for at a time."""

FIRST_PAUSE = 0.5
"""Seconds before a first new try, halved by chance so that many pickers do not come at once."""

LONGEST_PAUSE = 30.0
"""Seconds between two tries at most."""

HEALTHY_AFTER = 5.0
"""Seconds a watch has to stand to count as one that works, when nothing came through it."""

WATCH_SECONDS = (180, 240)
"""How long the server is asked to keep a watch open, by chance within this range."""


class Item(Protocol):
    """An object of a collection: its name within its namespace, and the version of its content."""

    @property
    def name(self) -> str:
        """``metadata.name``."""

    @property
    def version(self) -> str:
        """``metadata.resourceVersion``: to be compared for equality only."""


T = TypeVar("T", bound=Item)


@dataclass(frozen=True, slots=True)
class List:
    """Ask for a page of the collection; ``more`` is what the page before ended with."""

    more: str
    limit: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Ask for what changed since ``version``; the server is to end it after ``seconds``."""

    version: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Ask nothing for ``seconds``."""

    seconds: float


Step = List | Watch | Pause


@dataclass(frozen=True, slots=True)
class Put(Generic[T]):
    """An object is there, new or changed."""

    item: T


@dataclass(frozen=True, slots=True)
class Removed:
    """An object is there no more."""

    name: str


Change = Put[T] | Removed


class Phase(StrEnum):
    """How a collection is doing."""

    STARTING = "starting"
    """Not known yet."""
    FOLLOWED = "followed"
    """A watch stands."""
    BROKEN = "broken"
    """Known as it was when the watch broke."""
    ABSENT = "absent"
    """The server has no such kind (404): a CRD that is not installed."""
    FORBIDDEN = "forbidden"
    """We may not see it (403)."""


class Reflector(Generic[T]):
    """The state of following one collection. Call `step`, do it, say how it went, again and again.

    ``absent_seconds`` is how often a kind that is not there, or not allowed, is asked for.
    """

    def __init__(self, rng: Random, *, absent_seconds: float = 10.0) -> None:
        self._rng = rng
        self._absent_seconds = absent_seconds
        self._known: dict[str, str] = {}
        self._listing: dict[str, str] | None = None
        self._version: str | None = None
        self._more = ""
        self._limit = PAGE
        self._pause = 0.0
        self._failures = 0
        self._opened_at: float | None = None
        self._broken_at: float | None = None
        self.phase = Phase.STARTING
        self.listed = False
        """Whether the collection was listed to its end at least once, or is known not to exist."""
        self.lists = 0
        """How often it was listed."""
        self.events = 0
        """Changes reported by watches."""
        self.problem = ""
        """Why the last request failed; empty once one went well."""

    def __len__(self) -> int:
        return len(self._known)

    def stale_seconds(self, now: float) -> float:
        """For how long changes may have gone unseen: 0 while a watch stands, or for a kind that is not there."""
        return 0.0 if self._broken_at is None else max(0.0, now - self._broken_at)

    def step(self) -> Step:
        """What to do next."""
        if self._pause:
            pause, self._pause = self._pause, 0.0
            return Pause(pause)
        if self._version is None:
            return List(self._more, self._limit)
        return Watch(self._version, self._rng.randint(*WATCH_SECONDS))

    def page(self, items: Iterable[T], version: str, more: str) -> list[Change[T]]:
        """A page was answered; return what it changes. ``more`` is empty for the last one."""
        if self._listing is None:
            self._listing = {}
        changes: list[Change[T]] = []
        for item in items:
            self._listing[item.name] = item.version
            if self._known.get(item.name) != item.version:
                self._known[item.name] = item.version
                changes.append(Put(item))
        self._more = more
        if more:
            return changes
        for name in self._known.keys() - self._listing.keys():
            changes.append(Removed(name))
        self._known, self._listing = self._listing, None
        self._version = version
        self._limit = PAGE
        self.lists += 1
        self.listed = True
        return changes

    def opened(self, now: float) -> None:
        """The server took the watch; ``now`` in seconds of a monotonic clock."""
        self._opened_at = now
        self._broken_at = None
        self.phase = Phase.FOLLOWED
        self.problem = ""

    def happened(self, kind: str, item: T) -> list[Change[T]]:
        """The watch reported ``kind``: ADDED, MODIFIED, DELETED or BOOKMARK."""
        self._version = item.version
        self._failures = 0
        if kind == "BOOKMARK":
            return []
        self.events += 1
        if kind == "DELETED":
            return [Removed(item.name)] if self._known.pop(item.name, None) is not None else []
        self._known[item.name] = item.version
        return [Put(item)]

    def ended(self, now: float) -> None:
        """The server closed the watch, as it was asked to or because it is going down."""
        lasted = 0.0 if self._opened_at is None else now - self._opened_at
        self._opened_at = None
        if lasted < HEALTHY_AFTER:
            self._failures += 1
        else:
            self._failures = 0
        if self._failures:
            self._break(now)
            self._back_off()

    def failed(self, failure: ApiFailure, now: float) -> list[Change[T]]:
        """A request failed, or the watch with it; return what that changes: a kind that is gone takes its objects."""
        watching = self._version is not None
        self.problem = str(failure)
        self._opened_at = None
        self._failures += 1
        code = failure.code if isinstance(failure, Refused) else 0
        if code in (404, 403) and not watching:
            return self._missing(code)
        self._break(now)
        if isinstance(failure, Refused):
            # A version that the server has forgotten, or that it has failed at twice, leads nowhere.
            if failure.gone or code == 404 or self._failures > 1:
                self._start_over(whole=failure.gone and not watching)
            self._back_off(failure.retry_after)
        else:
            if not watching:
                self._start_over(whole=False)
            self._back_off()
        return []

    def unreadable(self, problem: str, now: float) -> None:
        """The watch carried something that is no event: what came before it holds, what follows is listed."""
        self.problem = problem
        self._opened_at = None
        self._failures += 1
        self._break(now)
        self._start_over(whole=False)
        self._back_off()

    def _missing(self, code: int) -> list[Change[T]]:
        self._start_over(whole=False)
        self._broken_at = None
        self._pause = self._absent_seconds * self._rng.uniform(0.75, 1.25)
        self.listed = True
        self.phase = Phase.ABSENT if code == 404 else Phase.FORBIDDEN
        if code == 403:
            return []  # no longer allowed to look: what was seen last stays in force
        gone: list[Change[T]] = [Removed(name) for name in self._known]
        self._known = {}
        self._failures = 0
        return gone

    def _start_over(self, *, whole: bool) -> None:
        """List anew; ``whole`` at one go, since the server forgets between two pages."""
        self._version = None
        self._more = ""
        self._limit = 0 if whole else PAGE
        self._listing = None

    def _break(self, now: float) -> None:
        if self._broken_at is None and self.listed:
            self._broken_at = now
        if self.listed:
            self.phase = Phase.BROKEN

    def _back_off(self, at_least: float = 0.0) -> None:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures - 1, 10))
        self._pause = max(longest * self._rng.uniform(0.5, 1.0), at_least)
