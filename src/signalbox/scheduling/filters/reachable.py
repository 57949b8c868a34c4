"""``reachable``."""

from __future__ import annotations

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import PositiveCount
from signalbox.scheduling.plugin import FilterPlugin, Parameters


class ReachableParameters(Parameters):
    """Parameters of reachable."""

    failures: PositiveCount = 3
    """Failed scrapes in a row from which an endpoint is left out."""


class Reachable(FilterPlugin[ReachableParameters]):
    """Leave out endpoints that have stopped answering scrapes.

    A server that dies stays Ready until its probes notice, a second or more; its scrapes fail within 50 ms. Endpoints
    with ``failures`` or more failed scrapes in a row are left out while any other is left. Where all fail (metrics
    switched off, a network policy) all stay: missing metrics must not stop dispatch. No counterpart in the reference;
    a profile that does not name it has it before its first preference.
    """

    type = "reachable"
    use = "Always; name it to change how many failures it takes."
    preference = True

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows that answer; never empty for a non-empty input."""
        if not cycle.columns.failing:
            return rows
        kept: Rows = rows[cycle.columns.failed_scrapes[rows] < self.parameters.failures]
        return kept if len(kept) else rows

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        if not cycle.columns.failing:
            return rows
        failed, failures = cycle.columns.failed_scrapes.tolist(), self.parameters.failures
        return [row for row in rows if failed[row] < failures] or rows
