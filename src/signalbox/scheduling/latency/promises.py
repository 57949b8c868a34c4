"""Objectives of requests in progress: a new one must not make an endpoint miss those it works under already."""

from __future__ import annotations

from collections import Counter

import numpy as np

from signalbox.pool import Floats


class Promises:
    """The seconds per output token that clients of requests in progress asked for, by row."""

    def __init__(self) -> None:
        self._given: dict[int, Counter[float]] = {}

    def give(self, row: int, seconds: float | None) -> None:
        """A request with this objective, if it has one, goes to ``row``."""
        if seconds is not None:
            self._given.setdefault(row, Counter())[seconds] += 1

    def end(self, row: int, seconds: float | None) -> None:
        """It has ended, or gone elsewhere."""
        given = self._given.get(row)
        if seconds is None or given is None or seconds not in given:
            return
        given[seconds] -= 1
        if not given[seconds]:
            del given[seconds]
            if not given:
                del self._given[row]

    def forget(self, row: int) -> None:
        """The endpoint has left."""
        self._given.pop(row, None)

    def tightest(self, size: int) -> Floats | None:
        """Return the least objective of each row up to ``size``, infinity where there is none; ``None`` where there is
        none anywhere."""
        if not self._given:
            return None
        least: Floats = np.full(size, np.inf)
        for row, given in self._given.items():
            if row < size:
                least[row] = min(given)
        return least
