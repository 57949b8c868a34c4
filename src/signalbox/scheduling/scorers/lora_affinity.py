"""``lora-affinity-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import Parameters, ScorerPlugin


class LoRAAffinityScorer(ScorerPlugin[Parameters]):
    """Endpoints where the adapter is active are better, then those with room for one more.

    Formula: 1.0 where the target has a request in flight, 0.8 where fewer adapters are active than a batch may hold,
    else 0. Source: lora-affinity-scorer of the Gateway API Inference Extension and llm-d. They give 0.6 to an adapter
    that only waits on a full server; the columns count waiting adapters among the active ones, so it scores 1.0 here.
    """

    type = "lora-affinity-scorer"
    use = "Pools that serve several LoRA adapters."

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 1.0, 0.8 or 0 for each endpoint."""
        columns = cycle.columns
        scores: Floats = np.where(columns.lora_active[rows] < columns.lora_max[rows], 0.8, 0.0)
        active = columns.adapters.get(cycle.target)
        if active is not None:
            scores[active[rows]] = 1.0
        return scores
