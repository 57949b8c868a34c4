"""Sheddable requests that are taken back from their servers, where who matters more waits for room.

Source: eviction of requests in flight in llm-d (``enableEviction``): its filter lets only priorities below zero be
taken back, its order takes the lowest priority first and of one priority the newest, and it waits for what that brings
before it takes more.
"""

from __future__ import annotations

import math
from itertools import count
from typing import Any

import msgspec

from signalbox.scheduling.ranked import Ranked

AT_ONCE = 2
"""Requests that one decision takes back: how much room each gives back is not known before it has."""
GIVE_UP = 10.0
"""Seconds after which a request that was taken back and has not ended is waited for no longer."""


class Serving(msgspec.Struct, eq=False):
    """One sheddable request that a server works on. Two are never equal."""

    priority: int
    payload: Any = None
    """The caller's own."""
    owner: Any = None
    """What takes the request back; ``None`` while nobody can."""


class Evictions:
    """Chooses whom to take back. Times are seconds of the caller's clock."""

    def __init__(self) -> None:
        self._serving: Ranked[Serving] = Ranked()
        self._numbers = count()
        self._taken: dict[Serving, float] = {}
        """Who was taken back and has not ended, and when."""
        self._quiet_until = -math.inf

    def __len__(self) -> int:
        return len(self._serving)

    def sent(self, priority: int, payload: Any) -> Serving | None:
        """A request was sent to a server; return it, or ``None`` where its priority is not below 0: it stays."""
        if priority >= 0:
            return None
        serving = Serving(priority, payload)
        self._serving.put(serving, (float(priority), -next(self._numbers)))
        return serving

    def ended(self, serving: Serving, now: float, grace: float) -> bool:
        """A request ended; return whether it was taken back. Then nobody else is for ``grace`` seconds, until its room
        is seen."""
        self._serving.discard(serving)
        serving.owner = None
        if self._taken.pop(serving, None) is None:
            return False
        self._quiet_until = max(self._quiet_until, now + grace)
        return True

    def choose(self, above: int, wanted: int, now: float, grace: float) -> list[Serving]:
        """Return whom to take back for ``wanted`` requests of priority ``above`` that wait: of lower priorities, at
        most `AT_ONCE`, and nobody while what was taken back before has not been seen to make room."""
        for serving, since in list(self._taken.items()):
            if now - since >= GIVE_UP:
                del self._taken[serving]
                self._quiet_until = max(self._quiet_until, now + grace)
        if self._taken or now < self._quiet_until:
            return []
        chosen: list[Serving] = []
        while len(chosen) < min(AT_ONCE, wanted):
            first = self._serving.first()
            if first is None or first.priority >= above:
                break
            self._serving.discard(first)
            if first.owner is not None:
                self._taken[first] = now
                chosen.append(first)
        return chosen

    def look_again(self, now: float) -> float | None:
        """Return when `choose` may say something else though nothing ended; ``None`` where it will not."""
        if self._taken:
            return min(self._taken.values()) + GIVE_UP
        return self._quiet_until if self._quiet_until > now and len(self._serving) else None
