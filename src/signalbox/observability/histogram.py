"""A histogram that costs a quarter of a microsecond to observe."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from itertools import accumulate

from signalbox.observability.buckets import bound_label


class Histogram:
    """Counts of values by bucket, and their sum.

    prometheus_client's own takes a lock, resolves labels and touches every bucket, which for the dozen histograms of
    a request costs more than routing it. This one is for a single thread and is turned into samples when scraped.
    """

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """``bounds`` are the buckets' inclusive upper bounds, ascending, without infinity."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (``le``, values at most that large) for each bucket, ``+Inf`` last."""
        return list(zip(_labels(self._bounds), map(float, accumulate(self._counts)), strict=True))


@lru_cache(maxsize=32)
def _labels(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(bound_label, bounds), "+Inf")
