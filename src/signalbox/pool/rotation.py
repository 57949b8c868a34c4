"""Weighted choice by smooth rotation.

A die gives 900 of 1,000 only on average: its standard deviation at 90/10 is 9.5 requests. The smooth weighted
rotation (the one nginx uses for upstreams) is exact: over any run of ``sum(weights)`` choices each name comes up
``weight`` times, and the minority is spread evenly instead of bunched. The rule: add each weight to its counter, take
the largest counter, and subtract the sum of the weights from it.
"""

from __future__ import annotations

from collections.abc import Sequence


class Rotation:
    """A repeatable weighted sequence over names. O(number of names) a step; a canary has a handful."""

    __slots__ = ("_counters", "_names", "_total", "_weights")

    def __init__(self, choices: Sequence[tuple[str, int | None]]) -> None:
        """Take ``(name, weight)`` pairs. Where no pair has a weight, all weigh the same.

        Raises:
            ValueError: no choices, a weight below zero, or weights that sum to zero.
        """
        if not choices:
            raise ValueError("a rotation needs at least one choice")
        self._names = tuple(name for name, _ in choices)
        if all(weight is None for _, weight in choices):
            self._weights = tuple(1 for _ in choices)
        else:
            self._weights = tuple(1 if weight is None else weight for _, weight in choices)
        self._total = sum(self._weights)
        if min(self._weights) < 0 or self._total == 0:
            raise ValueError(f"weights must not be negative and must not all be zero: {self._weights}")
        self._counters = [0] * len(self._names)

    def matches(self, choices: Sequence[tuple[str, int | None]]) -> bool:
        """Say whether this rotation already serves ``choices``, so that an unrelated edit need not restart it."""
        other = Rotation(choices)
        return other._names == self._names and other._weights == self._weights

    def take(self) -> str:
        """Return the next name."""
        if len(self._names) == 1:
            return self._names[0]
        counters = self._counters
        best = 0
        for index, weight in enumerate(self._weights):
            counters[index] += weight
            if counters[index] > counters[best]:
                best = index
        counters[best] -= self._total
        return self._names[best]
