"""A histogram that costs a tenth of a microsecond to observe."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import accumulate

from signalbox.observability.buckets import bound_label

MOST_NOTED = 64
"""Values noted before they are counted: to sort so many and count them together takes a tenth of counting each."""


class Histogram:
    """Counts of values by bucket, and their sum.

    prometheus_client's own takes a lock, resolves labels and touches every bucket, which for the dozen histograms of
    a request costs more than routing it. This one is for a single thread, notes values as they come, counts them some
    at a time, and is turned into samples when scraped.
    """

    __slots__ = ("_bounds", "_counts", "_noted", "_total", "note")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """``bounds`` are the buckets' inclusive upper bounds, ascending, without infinity."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._noted: list[float] = []
        self.note = self._noted.append
        """Count one value. Whoever calls this has to call :meth:`settle` every `MOST_NOTED` values or so."""

    def observe(self, value: float) -> None:
        """Count one value."""
        self.note(value)
        if len(self._noted) >= MOST_NOTED:
            self.settle()

    def settle(self) -> None:
        """Count what was noted."""
        noted, bounds, counts = self._noted, self._bounds, self._counts
        self._total = sum(noted, self._total)
        noted.sort()
        done, all_of_them = 0, len(noted)
        while done < all_of_them:
            bucket = bisect_left(bounds, noted[done])
            behind = bisect_right(noted, bounds[bucket], done) if bucket < len(bounds) else all_of_them
            counts[bucket] += behind - done
            done = behind
        noted.clear()

    @property
    def total(self) -> float:
        """The sum of all values."""
        self.settle()
        return self._total

    @property
    def count(self) -> int:
        """How many values were observed."""
        self.settle()
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (``le``, values at most that large) for each bucket, ``+Inf`` last."""
        self.settle()
        return list(zip(_labels(self._bounds), map(float, accumulate(self._counts)), strict=True))


@lru_cache(maxsize=32)
def _labels(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(bound_label, bounds), "+Inf")
