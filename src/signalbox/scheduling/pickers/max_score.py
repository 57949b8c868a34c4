"""``max-score-picker``: the highest score wins; ties go to the fewest requests in flight, then to chance.

Source: the max-score picker of the Gateway API Inference Extension and llm-d, which break ties by chance alone.
Chance alone sends two of eight simultaneous arrivals to one of eight idle endpoints more often than not; what we have
sent is known, so it decides first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle


@dataclass(frozen=True, slots=True)
class MaxScorePicker:
    """Orders by score (high first), requests in flight (low first) and a random draw."""

    name: str = "max-score-picker"

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Return up to ``limit`` rows, best first."""
        inflight = cycle.columns.inflight[rows]
        if len(rows) == 1:
            return rows
        draw = np.fromiter((cycle.rng.random() for _ in range(len(rows))), np.float64, len(rows))
        order = np.lexsort((draw, inflight, -scores))
        picked: Rows = rows[order[:limit]]
        return picked
