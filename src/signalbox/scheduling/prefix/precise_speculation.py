"""Blocks that endpoints will soon hold, since a prompt was just sent there: they count until the engine says so itself,
and for a limited time."""

from __future__ import annotations

from collections import deque

import msgspec

from signalbox.scheduling.prefix.hashing import Chain
from signalbox.scheduling.prefix.precise_sets import RowSets

MOST_BLOCKS = 1_000_000
"""Blocks that are expected at one time; beyond, the oldest are given up before their time."""


class Expectation(msgspec.Struct, eq=False):
    """One prompt that was sent to one endpoint."""

    row: int
    chain: Chain
    until: float
    """Seconds of the caller's clock."""
    over: bool = False


class Speculation:
    """What is expected of all endpoints."""

    __slots__ = ("_blocks", "_counts", "_open", "_sets")

    def __init__(self) -> None:
        self._sets = RowSets()
        self._counts: dict[tuple[int, int], int] = {}
        self._open: deque[Expectation] = deque()
        self._blocks = 0

    def __len__(self) -> int:
        return len(self._sets)

    def rows(self, key: int) -> int:
        """Return the rows that are expected to hold a block, as bits."""
        return self._sets.get(key)

    def expect(self, chain: Chain, row: int, until: float) -> Expectation:
        """Expect a prompt's blocks at an endpoint. ``until`` must not be less than that of an earlier call."""
        expectation = Expectation(row, chain[:MOST_BLOCKS], until)
        counts, sets, bit = self._counts, self._sets, 1 << row
        for key in expectation.chain:
            counts[key, row] = counts.get((key, row), 0) + 1
            sets.add(key, bit)
        self._open.append(expectation)
        self._blocks += len(expectation.chain)
        while self._blocks > MOST_BLOCKS:
            self._close(self._open.popleft())
        return expectation

    def give_up(self, expectation: Expectation) -> None:
        """The prompt will not be computed there. Harmless once its time is over."""
        self._end(expectation)

    def settle(self, now: float) -> None:
        """Forget what should have come by ``now``."""
        while self._open and (self._open[0].over or self._open[0].until <= now):
            self._close(self._open.popleft())

    def forget(self, row: int) -> None:
        """The endpoint is gone."""
        for expectation in self._open:
            if expectation.row == row:
                self._end(expectation)

    def _close(self, expectation: Expectation) -> None:
        self._end(expectation)
        self._blocks -= len(expectation.chain)

    def _end(self, expectation: Expectation) -> None:
        if expectation.over:
            return
        expectation.over = True
        counts, row = self._counts, expectation.row
        for key in expectation.chain:
            left = counts[key, row] - 1
            if left:
                counts[key, row] = left
            else:
                del counts[key, row]
                self._sets.drop(key, 1 << row)
