"""Requests on an endpoint that are not ours: another picker's, or those of clients that go past it."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Columns, Floats, Rows

NOTED = 2.0
"""Requests a server may report beyond our own before they count as somebody else's: what arrived and what ended while
it was being scraped looks the same."""

STALE_SECONDS = 1.0
"""Age from which what a server reported says nothing about others."""


class Strangers:
    """How many there are, worked out anew when servers have reported. Ours are those that were in flight when the
    scrape began."""

    def __init__(self) -> None:
        self._reported = -1
        self._columns: Columns | None = None
        self._beyond: Floats | None = None

    def of(self, columns: Columns, rows: Rows, now: float) -> tuple[Floats, Floats] | None:
        """Return how many waiting and how many other requests of strangers each row has; ``None`` where there are
        none."""
        if self._reported != columns.reported or self._columns is not columns:
            self._reported, self._columns = columns.reported, columns
            beyond = columns.waiting + columns.running - columns.inflight_mark - NOTED
            self._beyond = np.maximum(beyond, 0.0) if beyond.max(initial=0.0) > 0.0 else None
        if self._beyond is None:
            return None
        beyond = self._beyond[rows]
        beyond[now - columns.scraped_at[rows] > STALE_SECONDS] = 0.0
        if not beyond.any():
            return None
        waiting: Floats = np.minimum(columns.waiting[rows], beyond)
        return waiting, beyond - waiting
