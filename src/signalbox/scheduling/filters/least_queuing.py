"""``least-queuing``: keep the endpoints with the shortest queues.

Formula: keep q with ``min <= q <= min + (max - min) // n``, n candidates, q the queue corrected for what was sent
since the last scrape. Source: the filter tree of the Gateway API Inference Extension v0.2 and v0.3, which used the
scraped queue alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool import Rows, few
from signalbox.scheduling.filters.least import lowest_few, lowest_share
from signalbox.scheduling.framework import Cycle


@dataclass(frozen=True, slots=True)
class LeastQueuing:
    """Keeps the rows with the shortest queues; never empties a non-empty list."""

    name: str = "least-queuing"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows in the lowest n-th of the range of queue lengths."""
        return lowest_share(rows, cycle.columns.queue(rows), whole=True)

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        return lowest_few(rows, few.queues(cycle.columns), True)
