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
        self._plain: tuple[list[float], list[float], list[float]] | None = None  # with who waits, and when that was
        self._latest = 0.0  # when the last of those servers that have any was scraped

    def of(self, columns: Columns, rows: Rows, now: float) -> tuple[Floats, Floats] | None:
        """Return how many waiting and how many other requests of strangers each row has; ``None`` where there are
        none."""
        everywhere = self._everywhere(columns, now)
        if everywhere is None:
            return None
        beyond = everywhere[rows]
        beyond[now - columns.scraped_at[rows] > STALE_SECONDS] = 0.0
        if not beyond.any():
            return None
        waiting: Floats = np.minimum(columns.waiting[rows], beyond)
        return waiting, beyond - waiting

    def of_few(self, columns: Columns, rows: list[int], now: float) -> tuple[list[float], list[float]] | None:
        """Return the same, in a small pool."""
        everywhere = self._everywhere(columns, now)
        if everywhere is None:
            return None
        if self._plain is None:
            self._plain = everywhere.tolist(), columns.waiting.tolist(), columns.scraped_at.tolist()
        there, queued, scraped_at = self._plain
        waiting, others, any_ = [], [], False
        for row in rows:
            beyond = there[row]
            if beyond and now - scraped_at[row] <= STALE_SECONDS:
                any_ = True
                first = min(queued[row], beyond)
                waiting.append(first)
                others.append(beyond - first)
            else:
                waiting.append(0.0)
                others.append(0.0)
        return (waiting, others) if any_ else None

    def _everywhere(self, columns: Columns, now: float) -> Floats | None:
        """Return the requests of strangers by row, of servers that were scraped however long ago; ``None`` where none
        that was scraped lately has any."""
        if self._reported != columns.reported or self._columns is not columns:
            self._reported, self._columns = columns.reported, columns
            beyond = columns.waiting + columns.running - columns.inflight_mark - NOTED
            self._beyond = self._plain = None
            if beyond.max(initial=0.0) > 0.0:
                self._beyond = np.maximum(beyond, 0.0)
                self._latest = float(columns.scraped_at[beyond > 0.0].max())
        return None if now - self._latest > STALE_SECONDS else self._beyond
