"""``least-kv-cache``: keep the endpoints with the emptiest KV caches.

Formula: keep u with ``min <= u <= min + (max - min) / n``, n candidates, u the KV usage (0 to 1) plus the tokens sent
since the last scrape over the capacity the server reports. Source: the filter tree of the Gateway API Inference
Extension v0.2 and v0.3, on scraped usage alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool import Rows, few
from signalbox.scheduling.filters.least import lowest_few, lowest_share
from signalbox.scheduling.framework import Cycle


@dataclass(frozen=True, slots=True)
class LeastKVCache:
    """Keeps the rows with the lowest KV usage; never empties a non-empty list."""

    name: str = "least-kv-cache"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows in the lowest n-th of the range of KV usage."""
        return lowest_share(rows, cycle.columns.kv(rows), whole=False)

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        return lowest_few(rows, few.kv_of_all(cycle.columns), False)
