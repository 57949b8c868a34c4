"""When to try again what failed."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from random import Random


class Backoff:
    """The next attempt time of each piece of work that failed.

    The n-th failure in a row waits ``first * 2**(n-1)`` seconds, at most ``longest``, times a factor drawn evenly from
    0.5 to 1, so that the syncers of many pods do not come back at once. Times are seconds of the caller's clock.
    """

    def __init__(self, rng: Random, first: float = 1.0, longest: float = 60.0) -> None:
        self._rng = rng
        self._first = first
        self._longest = longest
        self._waiting: dict[Hashable, tuple[int, float]] = {}

    def due(self, work: Hashable, now: float) -> bool:
        """Whether ``work`` may be tried: it never failed, or has waited long enough."""
        return work not in self._waiting or now >= self._waiting[work][1]

    def failed(self, work: Hashable, now: float) -> float:
        """Note a failure; return the seconds until the next attempt."""
        failures = self._waiting[work][0] + 1 if work in self._waiting else 1
        whole = min(self._longest, self._first * 2.0 ** min(failures - 1, 62))
        delay = whole * (0.5 + 0.5 * self._rng.random())
        self._waiting[work] = failures, now + delay
        return delay

    def succeeded(self, work: Hashable) -> None:
        """Forget the failures of ``work``."""
        self._waiting.pop(work, None)

    def keep(self, works: Collection[Hashable]) -> None:
        """Forget everything that is not one of ``works``."""
        self._waiting = {work: state for work, state in self._waiting.items() if work in works}

    def next_due(self) -> float | None:
        """The earliest time at which something waiting may be tried; ``None`` when nothing waits."""
        return min((at for _, at in self._waiting.values()), default=None)
