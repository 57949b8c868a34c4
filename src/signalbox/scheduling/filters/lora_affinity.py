"""``lora-affinity``: prefer endpoints where the adapter is already active.

Group A: the adapter has a request in flight there. Group B: not in A, and fewer adapters are active than one batch
may hold. If both groups have members, A is taken with probability 0.999 and B otherwise, so that a busy adapter
slowly spreads; if one has, that one. If neither has, the filter does not decide and keeps every row. Source: the soft
affinity filter of the Gateway API Inference Extension v0.2 and v0.3; environment LORA_AFFINITY_THRESHOLD from v0.3.
It counted an adapter twice that was both running and waiting; the columns count it once.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle


@dataclass(frozen=True, slots=True)
class LoRAAffinity:
    """Keeps the rows where the target adapter is active, or else those with room for one more."""

    probability: float = 0.999
    name: str = "lora-affinity"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return group A or group B; every row where both are empty."""
        columns = cycle.columns
        room = columns.lora_active[rows] < columns.lora_max[rows]
        mask = columns.adapters.get(cycle.target)
        if mask is None:
            available: Rows = rows[room]
            return available if len(available) else rows
        has = mask[rows]
        active: Rows = rows[has]
        available = rows[room & ~has]
        if len(active) and len(available):
            return active if cycle.rng.random() < self.probability else available
        if len(active):
            return active
        return available if len(available) else rows
