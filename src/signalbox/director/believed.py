"""The pool as it is believed to be between two scrapes, for saturation detectors that only look at what was scraped.

While somebody waits, what a scrape showed as free is given away once: each request that is sent counts as waiting at
its server until the next scrape says otherwise. Else one look at an idle server would let a whole queue out.
"""

from __future__ import annotations

import numpy as np

from signalbox.pool import Columns, Rows
from signalbox.pool.columns import NAMES


class BelievedColumns:
    """A copy of the columns in which ``waiting`` and ``kv_usage`` count what was sent since the last scrape."""

    def __init__(self) -> None:
        self._shown = Columns()
        self._rows: Rows = np.arange(0)

    def of(self, columns: Columns) -> Columns:
        """Return the columns as they are believed to be now: good until the next call."""
        shown = self._shown
        if len(self._rows) != columns.size:
            self._rows = np.arange(columns.size)
        for name in NAMES:
            setattr(shown, name, getattr(columns, name))
        shown.waiting = columns.queue(self._rows)
        shown.kv_usage = columns.kv(self._rows)
        return shown
