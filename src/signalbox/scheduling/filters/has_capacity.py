"""``has-capacity``: keep the endpoints that can take a request that is not critical.

Formula: ``waiting <= 5 and kv_usage <= 0.8``, on scraped values. Source: the sheddable branch of the filter tree of
the Gateway API Inference Extension v0.2 and v0.3; environment QUEUE_THRESHOLD_CRITICAL and KV_CACHE_THRESHOLD from
v0.3.

The scraped queue, not the corrected one: a burst between two scrapes starts running on idle servers, and refusing it
for a queue that nobody has seen would turn away work that there is room for. An endpoint that was never scraped reads
zero and has capacity: missing metrics must not stop dispatch.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool import Columns, Rows
from signalbox.scheduling.framework import Cycle


@dataclass(frozen=True, slots=True)
class HasCapacity:
    """Keeps rows at or under both thresholds: requests waiting, and KV usage as a fraction."""

    queue: float = 5
    kv_cache: float = 0.8
    name: str = "has-capacity"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows under both thresholds; empty where the pool is saturated."""
        columns = cycle.columns
        if self._everywhere(columns):
            return rows
        kept: Rows = rows[(columns.waiting[rows] <= self.queue) & (columns.kv_usage[rows] <= self.kv_cache)]
        return kept

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        if self._everywhere(cycle.columns):
            return rows
        waiting, usage = cycle.columns.waiting.tolist(), cycle.columns.kv_usage.tolist()
        queue, kv_cache = self.queue, self.kv_cache
        return [row for row in rows if waiting[row] <= queue and usage[row] <= kv_cache]

    def _everywhere(self, columns: Columns) -> bool:
        report = columns.report
        return report.longest_queue <= self.queue and report.fullest_cache <= self.kv_cache
