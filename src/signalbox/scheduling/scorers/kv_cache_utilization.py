"""``kv-cache-utilization-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows, few
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import Parameters, ScorerPlugin


class KVCacheUtilizationScorer(ScorerPlugin[Parameters]):
    """Emptier KV caches are better.

    Formula: ``1 - u``, never below 0; u is the KV usage (0 to 1) plus the tokens sent since the last scrape over the
    capacity the server reports. Source: kv-cache-utilization-scorer of the Gateway API Inference Extension and llm-d,
    on scraped usage alone.
    """

    type = "kv-cache-utilization-scorer"
    use = "Long prompts and long answers: a full cache means preemption. Part of the default profile, weight 2."

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the free part of each cache."""
        usage = cycle.columns.kv(rows)
        np.subtract(1.0, usage, out=usage)
        return np.maximum(usage, 0.0, out=usage)

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        return [1.0 - usage if usage < 1.0 else 0.0 for usage in few.kv(cycle.columns, rows)]
