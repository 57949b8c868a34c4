"""``reachable``: leave out endpoints that have stopped answering scrapes.

A server that dies stays Ready until its probes notice, a second or more; its scrapes fail within 50 ms. Rows with
``failures`` (3) or more failed scrapes in a row are left out while any other is left. Where all fail (metrics
switched off, a network policy) all stay: missing metrics must not stop dispatch. No counterpart in the reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool import Rows
from signalbox.scheduling.framework import Cycle


@dataclass(frozen=True, slots=True)
class Reachable:
    """Keeps rows with fewer than ``failures`` consecutive failed scrapes, or all where none has."""

    failures: float = 3
    name: str = "reachable"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows that answer; never empty for a non-empty input."""
        kept: Rows = rows[cycle.columns.failed_scrapes[rows] < self.failures]
        return kept if len(kept) else rows
