"""``running-requests-size-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import Parameters, ScorerPlugin
from signalbox.scheduling.scorers.spread import lowest_is_best, lowest_is_best_few


class RunningRequestsScorer(ScorerPlugin[Parameters]):
    """Smaller batches are better.

    Formula: ``(max - r) / (max - min)`` over the candidates, 1 for all where all are equal; r is the number of running
    requests, plus what was sent less what ended since the last scrape, never below 0. Source:
    running-requests-size-scorer of the Gateway API Inference Extension and llm-d, on scraped numbers alone.
    """

    type = "running-requests-size-scorer"
    use = "Where queues are mostly empty and decoding speed depends on the batch."

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 1 for the smallest batch, 0 for the largest."""
        columns = cycle.columns
        running: Floats = columns.inflight[rows] - columns.inflight_mark[rows]
        running += columns.running[rows]
        return lowest_is_best(np.maximum(running, 0.0, out=running))

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        columns = cycle.columns
        inflight, mark, running = columns.inflight.tolist(), columns.inflight_mark.tolist(), columns.running.tolist()
        return lowest_is_best_few([max(inflight[row] - mark[row] + running[row], 0.0) for row in rows])
