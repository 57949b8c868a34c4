"""``low-queue``: keep the endpoints whose queue still allows for adapter affinity.

Formula: ``waiting < threshold`` (128), on the scraped queue. Source: "low queueing" in the filter tree of the Gateway
API Inference Extension v0.2 and v0.3; environment QUEUING_THRESHOLD_LORA from v0.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle


@dataclass(frozen=True, slots=True)
class LowQueue:
    """Keeps rows with fewer than ``threshold`` requests waiting."""

    threshold: float = 128
    name: str = "low-queue"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows under the threshold; empty where every queue is long."""
        if cycle.columns.report.longest_queue < self.threshold:
            return rows
        kept: Rows = rows[cycle.columns.waiting[rows] < self.threshold]
        return kept

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        if cycle.columns.report.longest_queue < self.threshold:
            return rows
        waiting, threshold = cycle.columns.waiting.tolist(), self.threshold
        return [row for row in rows if waiting[row] < threshold]
