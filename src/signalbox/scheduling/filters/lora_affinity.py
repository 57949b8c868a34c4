"""``lora-affinity``: prefer endpoints that have the adapter in memory.

Group A: the adapter is resident there. Group B: not in A, and fewer adapters have requests in flight than one batch
may hold. If both groups have members, A is taken with probability 0.999 and B otherwise, so that a busy adapter
slowly spreads; if one has, that one. If neither has, the filter does not decide and keeps every row. Source: the soft
affinity filter of the Gateway API Inference Extension v0.2 and v0.3; environment LORA_AFFINITY_THRESHOLD from v0.3.
It knew only adapters with a request in flight, and counted one twice that was both running and waiting; here an idle
adapter is remembered, and each counts once. An adapter that is in no candidate's memory was left to chance in group B;
here one place is chosen for it, see `signalbox.scheduling.lora`, also where no server says how many it can batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.lora import place


@dataclass(frozen=True, slots=True)
class LoRAAffinity:
    """Keeps the rows that have the target adapter, or else the one to bring it in at, or those with room."""

    probability: float = 0.999
    name: str = "lora-affinity"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return group A or group B; every row where both are empty."""
        columns = cycle.columns
        mask = columns.resident.get(cycle.target)
        if mask is None and not columns.report.room_for_adapters and not columns.is_adapter(cycle.target):
            return rows
        room = columns.lora_active[rows] < columns.lora_max[rows]
        if mask is None:
            return self._cold(cycle, rows, rows[room])
        has = mask[rows]
        resident: Rows = rows[has]
        available: Rows = rows[room & ~has]
        if not len(resident):
            return self._cold(cycle, rows, available)
        if len(available) and cycle.rng.random() >= self.probability:
            return available
        return resident

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        columns, target = cycle.columns, cycle.target
        mask = columns.resident.get(target)
        if mask is None and target not in columns.loaded_adapters and not columns.report.room_for_adapters:
            return rows
        active, most = columns.lora_active.tolist(), columns.lora_max.tolist()
        if mask is None:
            return self._cold_few(cycle, rows, [row for row in rows if active[row] < most[row]])
        has = mask.tolist()
        resident = [row for row in rows if has[row]]
        available = [row for row in rows if active[row] < most[row] and not has[row]]
        if not resident:
            return self._cold_few(cycle, rows, available)
        if available and cycle.rng.random() >= self.probability:
            return available
        return resident

    def _cold_few(self, cycle: Cycle, rows: list[int], available: list[int]) -> list[int]:
        among = available or rows
        if not cycle.columns.is_adapter(cycle.target):
            return among
        chosen = place(cycle.columns, cycle.target, np.array(among, np.intp))
        return among if chosen is None else [chosen]

    def _cold(self, cycle: Cycle, rows: Rows, available: Rows) -> Rows:
        among = available if len(available) else rows
        if not cycle.columns.is_adapter(cycle.target):
            return among
        chosen = place(cycle.columns, cycle.target, among)
        return among if chosen is None else np.array([chosen], np.intp)
