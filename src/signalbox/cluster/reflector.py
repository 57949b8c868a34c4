"""Following one collection of objects, without doing it: what to ask next, and what the answers change.

The protocol is Kubernetes' list and watch. A list names the version of the collection it shows; a watch from that
version reports each change, and each report carries the version to go on from. Bookmarks carry nothing but a version,
so that a collection in which nothing happens still can be resumed. A server that no longer remembers a version answers
410, and then everything is listed again. Nothing compares clocks: what is known is as old as the watch is broken.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Generic, TypeVar

from signalbox.cluster.errors import ApiFailure, Refused
from signalbox.cluster.steps import Change, Item, List, Pause, Phase, Put, Removed, Step, Watch

PAGE = 500
"""Objects asked for at a time."""

FIRST_PAUSE = 0.5
"""Seconds before a first new try, halved by chance so that many pickers do not come at once."""

LONGEST_PAUSE = 30.0
"""Seconds between two tries at most."""

HEALTHY_AFTER = 5.0
"""Seconds a watch has to stand to count as one that works, when nothing came through it."""

GONE_AFTER = 30.0
"""Seconds for which a kind that has objects has to be not found before it counts as uninstalled. Whoever deletes a CRD
deletes its objects first, each with an event; a 404 without those is more likely a server that is starting."""

REFUSALS = 3
"""How often a kind that was never seen is refused (403) before it counts as not allowed: a Role and its binding that
are created together with the picker take a moment to count."""

WATCH_SECONDS = (180, 240)
"""How long the server is asked to keep a watch open, by chance within this range."""


T = TypeVar("T", bound=Item)


class Reflector(Generic[T]):
    """The state of following one collection. Call `step`, do it, say how it went, again and again.

    ``absent_seconds`` is how often a kind that is not there, or not allowed, is asked for. A ``builtin`` kind is one
    that every API server has: where it is not found, something is wrong.
    """

    def __init__(self, rng: Random, *, absent_seconds: float = 10.0, builtin: bool = False) -> None:
        self._rng = rng
        self._absent_seconds = absent_seconds
        self._builtin = builtin
        self._known: dict[str, str] = {}
        self._listing: dict[str, str] | None = None
        self._version: str | None = None
        self._more = ""
        self._limit = PAGE
        self._pause = 0.0
        self._failures = 0
        """Requests that failed since one went well."""
        self._fruitless = 0
        """Watches in a row that came to nothing, though lists went well in between."""
        self._untried = False
        """Whether no watch was asked for yet since the last list."""
        self._forgiven = False
        """Whether the server has said 410, and no watch has worked since."""
        self._refusals = 0
        self._absent_since: float | None = None
        self._opened_at: float | None = None
        self._broken_at: float | None = None
        self.phase = Phase.STARTING
        self.listed = False
        """Whether the collection was listed to its end at least once, or is known not to exist or not to be allowed."""
        self.lists = 0
        """How often it was listed."""
        self.events = 0
        """Changes reported by watches."""
        self.bookmarks = 0
        """Versions reported by watches without a change."""
        self.forgotten = 0
        """How often the server had no history as far back as it was asked for, and was listed anew at once."""
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
        self._failures = self._fruitless
        self._untried = True
        self._refusals = 0
        self._absent_since = None
        return changes

    def opened(self, now: float) -> None:
        """The server took the watch; ``now`` in seconds of a monotonic clock."""
        self._opened_at = now
        self._broken_at = None
        self._failures = self._fruitless
        self._absent_since = None
        self.phase = Phase.FOLLOWED
        self.problem = ""

    def happened(self, kind: str, item: T) -> list[Change[T]]:
        """The watch reported ``kind``: ADDED, MODIFIED or DELETED."""
        self._version = item.version
        self._worked()
        self.events += 1
        if kind == "DELETED":
            return [Removed(item.name)] if self._known.pop(item.name, None) is not None else []
        self._known[item.name] = item.version
        return [Put(item)]

    def bookmarked(self, version: str) -> None:
        """The watch reported that it has come to ``version``."""
        self._version = version
        self._worked()
        self.bookmarks += 1

    def ended(self, now: float) -> None:
        """The server closed the watch, as it was asked to or because it is going down."""
        if not self._lost(now):
            self._failures += 1
            self._break(now)
            self._back_off()

    def failed(self, failure: ApiFailure, now: float) -> list[Change[T]]:
        """A request failed, or the watch with it; return what that changes: a kind that is gone takes its objects."""
        watching = self._version is not None
        if isinstance(failure, Refused) and failure.gone and not self._forgiven:
            self._forget(whole=not watching, now=now)
            return []
        self.problem = str(failure)
        self._lost(now)
        self._failures += 1
        if isinstance(failure, Refused) and not watching:
            if failure.code == 403:
                self._forbidden(now)
                return []
            if failure.code == 404 and failure.genuine and not self._builtin:
                return self._absent(now)
        self._absent_since = None
        self._break(now)
        if isinstance(failure, Refused):
            # A version that the server has forgotten, or that it has failed at twice, leads nowhere.
            if failure.gone or failure.code == 404 or self._failures > 1:
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
        self._lost(now)
        self._failures += 1
        self._break(now)
        self._start_over(whole=False)
        self._back_off()

    def _worked(self) -> None:
        self._failures = self._fruitless = 0
        self._forgiven = False

    def _lost(self, now: float) -> bool:
        """The watch, if there was one, stands no more; return whether it had stood for long enough to have worked."""
        opened, self._opened_at = self._opened_at, None
        if opened is not None and now - opened >= HEALTHY_AFTER:
            self._worked()
            self._untried = False
            return True
        if opened is not None or (self._untried and self._version is not None):
            self._fruitless += 1
            self._untried = False
        return False

    def _forget(self, *, whole: bool, now: float) -> None:
        """The server's memory does not reach back that far: no fault, as after its restart, the first time. A second
        time without a watch that worked in between is one."""
        self._lost(now)
        self._forgiven = True
        self.forgotten += 1
        self._failures = 0
        self.problem = ""
        self._break(now)
        self._start_over(whole=whole)

    def _forbidden(self, now: float) -> None:
        """No longer, or not yet, allowed to look; what was seen last stays in force."""
        self._refusals += 1
        self._absent_since = None
        self._start_over(whole=False)
        if self.lists:
            self._break(now)
        elif self._refusals < REFUSALS:
            self.phase = Phase.FORBIDDEN
            self._back_off()
            return
        self.listed = True
        self.phase = Phase.FORBIDDEN
        self._pause = self._absent_seconds * self._rng.uniform(0.75, 1.25)

    def _absent(self, now: float) -> list[Change[T]]:
        self._start_over(whole=False)
        if self._known:
            if self._absent_since is None:
                self._absent_since = now
            if now - self._absent_since < GONE_AFTER:
                self._break(now)
                self._back_off()
                return []
        self._broken_at = None
        self._pause = self._absent_seconds * self._rng.uniform(0.75, 1.25)
        self.listed = True
        self.phase = Phase.ABSENT
        self._failures = 0
        gone: list[Change[T]] = [Removed(name) for name in self._known]
        self._known = {}
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
