"""A straight line for each endpoint, learned online: how long something takes, over how much there is to do.

An engine's step takes a fixed time and a time for each prompt token and each sequence in it, and so both times worth
predicting are lines: the time to the first token over the prompt tokens to be computed before it, and the time per
output token over the requests decoded beside it. Slope and offset differ between GPUs, and not by one factor: an H100
computes prompts 3.2 times as fast as an A100 and reads its memory 1.6 times as fast. So every endpoint has a line of
its own.

It is a weighted least squares line over the endpoint's observations, older ones forgotten, to which those of the whole
pool are added with the weight of `POOL_WEIGHT` of one observation. So an endpoint that has shown nothing is taken for
an average one, and two observations at the same place still make a line. An observation weighs one over the square of
what was expected there, so that relative errors count.
"""

from __future__ import annotations

import math

import numpy as np

from signalbox.pool import Floats

ENOUGH = 20
"""Observations of the pool from which its lines are believed."""

POOL_WEIGHT = 0.5
"""What the pool counts for in an endpoint's line, in observations. More pulls two kinds of GPUs towards each other."""

CLIP = 3.0
"""An observation more than this many times off counts as this many times off: one stall does not change the picture."""

POOL_KEEP = 0.99
ROW_KEEP = 0.97
"""What is kept of the past at each observation: it spans about 100 of the pool, 33 of one endpoint."""

_LEAST = 1e-6  # seconds: nothing is done faster
_SUMS = 6  # observations; and, weighted: ones, x, x squared, y, x times y


class Lines:
    """``offset + slope * x`` by row, in seconds; neither is negative."""

    def __init__(self) -> None:
        self._seen = 0
        self._pool: Floats = np.zeros(_SUMS)
        self._rows: Floats = np.zeros((8, _SUMS))
        self._offsets: Floats = np.zeros(8)
        self._slopes: Floats = np.zeros(8)
        self._line = (0.0, 0.0)

    @property
    def known(self) -> bool:
        """Whether enough was observed to believe them."""
        return self._seen >= ENOUGH

    def expect(self, x: Floats) -> Floats:
        """Return what is expected of every row; ``x`` has an entry for each row of the pool."""
        self._fit_rows(len(x))
        values: Floats = self._slopes[: len(x)] * x
        values += self._offsets[: len(x)]
        return values

    def expect_of(self, row: int, x: float) -> float:
        """Return what is expected of one row."""
        self._fit_rows(row + 1)
        return float(self._offsets[row] + self._slopes[row] * x)

    def observe(self, row: int, x: float, y: float) -> None:
        """Take in that ``row`` took ``y`` seconds (above 0) for ``x`` (0 or more); anything else is passed over."""
        if not (0.0 <= x < math.inf and 0.0 < y < math.inf):
            return
        y = max(y, _LEAST)
        usual = max(self.expect_of(row, x), _LEAST)
        if self.known:
            y = min(max(y, usual / CLIP), usual * CLIP)
        usual = max(usual, y / CLIP)  # a line that is far off at first must not make this the only one that counts
        self._seen += 1
        weight = 1.0 / (usual * usual)
        point = np.array((1.0, weight, weight * x, weight * x * x, weight * y, weight * x * y))
        self._pool *= POOL_KEEP
        self._pool += point
        mine = self._rows[row]
        mine *= ROW_KEEP
        mine += point
        self._line = _solve(*self._pool[1:].tolist())
        # The pool as if all of it had come from here: what takes long weighs little, and a slow endpoint's is all slow.
        sums = mine + self._pool * (POOL_WEIGHT * mine[1] / (mine[0] * self._pool[1]))
        unseen = self._rows[:, 0] == 0.0
        self._offsets[unseen], self._slopes[unseen] = self._line
        self._offsets[row], self._slopes[row] = _solve(*sums[1:].tolist())

    def forget(self, row: int) -> None:
        """The endpoint has left; the row's next one starts as an average one."""
        if row < len(self._rows):
            self._rows[row] = 0.0
            self._offsets[row], self._slopes[row] = self._line

    def _fit_rows(self, size: int) -> None:
        added = size - len(self._rows)
        if added > 0:
            self._rows = np.concatenate([self._rows, np.zeros((added, _SUMS))])
            self._offsets = np.concatenate([self._offsets, np.full(added, self._line[0])])
            self._slopes = np.concatenate([self._slopes, np.full(added, self._line[1])])


def _solve(ones: float, x: float, xx: float, y: float, xy: float) -> tuple[float, float]:
    """Return offset and slope of the least squares line of these weighted sums, neither below 0.

    Where the best line would have one below 0, the best that has it at 0: the flat one through the mean, or the one
    through the origin.
    """
    determinant = ones * xx - x * x
    if determinant > 1e-9 * ones * xx:
        slope = (ones * xy - x * y) / determinant
        offset = (y - slope * x) / ones
        if slope < 0.0:
            return y / ones, 0.0
        if offset < 0.0:
            return 0.0, xy / xx
        return offset, slope
    return y / ones, 0.0
