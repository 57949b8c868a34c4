"""``lora-affinity-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.lora import place
from signalbox.scheduling.plugin import Parameters, ScorerPlugin


class LoRAAffinityScorer(ScorerPlugin[Parameters]):
    """Endpoints that have the adapter in memory are better, then those with room for one more.

    Formula: 1.0 where the target is resident, 0.8 where fewer adapters have requests in flight than a batch may hold,
    else 0. Of an adapter that no candidate has, 0.8 is for the one place it should be brought in at, whether or not its
    server says how many it can batch, and 0.6 for the others with room: see [LoRA adapters](lora.md). Source:
    lora-affinity-scorer of the Gateway API Inference Extension and llm-d, which know only adapters with a request in
    flight. They give 0.6 to an adapter that only waits on a full server; the columns count waiting adapters among the
    active ones, so it scores 1.0 here.
    """

    type = "lora-affinity-scorer"
    use = "Pools that serve several LoRA adapters."

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 1.0, 0.8, 0.6 or 0 for each endpoint."""
        columns = cycle.columns
        scores: Floats = np.where(columns.lora_active[rows] < columns.lora_max[rows], 0.8, 0.0)
        mask = columns.resident.get(cycle.target)
        resident = None if mask is None else mask[rows]
        if resident is not None and resident.any():
            scores[resident] = 1.0
        elif columns.is_adapter(cycle.target):
            chosen = place(columns, cycle.target, rows)
            if chosen is not None:
                scores[scores > 0] = 0.6
                scores[rows == chosen] = 0.8
        return scores

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        columns, target = cycle.columns, cycle.target
        mask = columns.resident.get(target)
        if mask is None and not columns.report.room_for_adapters and target not in columns.loaded_adapters:
            return [0.0] * len(rows)
        active, most = columns.lora_active.tolist(), columns.lora_max.tolist()
        scores = [0.8 if active[row] < most[row] else 0.0 for row in rows]
        resident = [] if mask is None else mask[rows].tolist()
        if True in resident:
            return [1.0 if has else score for has, score in zip(resident, scores, strict=True)]
        if not columns.is_adapter(target):
            return scores
        chosen = place(columns, target, np.array(rows, np.intp))
        if chosen is None:
            return scores
        return [0.8 if row == chosen else 0.6 if score else 0.0 for row, score in zip(rows, scores, strict=True)]
