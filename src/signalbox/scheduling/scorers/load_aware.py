"""``load-aware-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows, few
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Positive
from signalbox.scheduling.plugin import Parameters, ScorerPlugin


class LoadAwareParameters(Parameters):
    """Parameters of load-aware-scorer."""

    threshold: Positive = 128.0
    """Queue length, in requests, from which the score is 0."""


class LoadAwareScorer(ScorerPlugin[LoadAwareParameters]):
    """Shorter queues are better, on a fixed scale rather than against the other candidates.

    Formula: ``0.5 * (1 - min(q, T) / T)``, so 0.5 for an empty queue; q is the corrected queue, T the threshold.
    Source: load-aware-scorer of llm-d, on the scraped queue.
    """

    type = "load-aware-scorer"
    use = "Beside an affinity scorer, which a difference of one or two waiting requests should not outweigh."

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 0.5 for an empty queue, down to 0 at the threshold."""
        queue = cycle.columns.queue(rows)
        queue *= -0.5 / self.parameters.threshold
        queue += 0.5
        return np.maximum(queue, 0.0, out=queue)

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        share = -0.5 / self.parameters.threshold
        scores = [waiting * share + 0.5 for waiting in few.queue(cycle.columns, rows)]
        return [score if score > 0.0 else 0.0 for score in scores]
