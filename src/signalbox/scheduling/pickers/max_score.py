"""``max-score-picker``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.pickers.best import MOST, best_few
from signalbox.scheduling.pickers.parameters import PickerParameters
from signalbox.scheduling.plugin import PickerPlugin

_FEW = MOST
"""Rows that are sorted outright. Of more, only those that can still be among the best are."""


class MaxScorePicker(PickerPlugin[PickerParameters]):
    """The highest score wins; ties go to the fewest requests in flight, then to chance.

    Source: max-score-picker of the Gateway API Inference Extension and llm-d, which break ties by chance alone. Chance
    alone sends two of eight simultaneous arrivals to one of eight idle endpoints more often than not; what we have sent
    is known, so it decides first.
    """

    type = "max-score-picker"
    use = "Nearly always; added to profiles that name no picker."

    @property
    def endpoints(self) -> int:
        """How many endpoints an answer names."""
        return self.parameters.max_num_of_endpoints

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Return up to ``limit`` rows, best first."""
        if len(rows) == 1:
            return rows
        limit = min(limit, len(rows))
        if len(rows) > _FEW:
            rows, scores = _best(rows, scores, -scores, limit)
        inflight = cycle.columns.requests(rows)
        if len(rows) > _FEW and scores.min() == scores.max():
            rows, inflight = _best(rows, inflight, inflight, limit)
            scores = scores[: len(rows)]
            if len(rows) > _FEW and inflight.min() == inflight.max():
                # All the same: any will do, and drawing a few costs less than ordering a thousand.
                return rows[cycle.rng.sample(range(len(rows)), limit)]
        draw = np.frombuffer(cycle.rng.randbytes(4 * len(rows)), np.uint32)
        picked: Rows = rows[np.lexsort((draw, inflight, -scores))[:limit]]
        return picked

    def pick_few(self, cycle: Cycle, rows: list[int], scores: list[float], limit: int) -> list[int]:
        """Return the same."""
        if len(rows) == 1:
            return rows
        return best_few(cycle.columns, cycle.rng, rows, scores, limit)


def _best(rows: Rows, values: Floats, cost: Floats, limit: int) -> tuple[Rows, Floats]:
    """Return the rows whose ``cost`` is at most the ``limit``-th smallest, and their values; ties stay together."""
    near = cost <= np.partition(cost, limit - 1)[limit - 1]
    return rows[near], values[near]
