"""What an adapter costs where it is not in the running batch: a slot to wait for, and weights to load."""

from __future__ import annotations

from collections import Counter

import numpy as np

from signalbox.pool import Columns, Floats, Rows


class Slots:
    """Counts our own requests in flight by row and adapter: what servers report is as old as the last scrape, and a
    burst is over by then."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._in_flight: dict[str, Counter[int]] = {}

    def is_adapter(self, columns: Columns, target: str) -> bool:
        """Whether a server has shown that this name is an adapter's."""
        if target in self._known:
            return True
        if target in columns.adapters or target in columns.resident or target in columns.loaded_adapters:
            self._known.add(target)
            return True
        return False

    def wait(self, columns: Columns, target: str, rows: Rows, load_seconds: float, hold: Floats) -> Floats:
        """Return the seconds a request for the adapter ``target`` waits for its weights on each row.

        0 where it is in the batch. ``load_seconds`` where it is not in memory. Where all slots (``lora_max``) are taken
        by other adapters, one of them must fall idle first: its requests stay for ``hold`` seconds, and the more of
        them there are for each adapter, the longer that takes.
        """
        own = self._in_flight.get(target)
        busy = np.zeros(len(rows), bool)
        if own:
            busy = np.array([own[int(row)] > 0 for row in rows], bool)
        for masks in (columns.adapters,):
            mask = masks.get(target)
            if mask is not None:
                busy |= mask[rows]
        resident = columns.resident.get(target)
        seconds = np.full(len(rows), load_seconds)
        if resident is not None:
            seconds[resident[rows]] = 0.0
        slots = columns.lora_max[rows]
        active = np.maximum(columns.lora_active[rows], self._active(rows))
        full = (active >= slots) & (slots > 0)
        if full.any():
            each = columns.requests(rows) / np.maximum(active, 1.0)
            seconds += full * hold * np.maximum(each, 1.0)
        seconds[busy] = 0.0
        return seconds

    def routed(self, target: str, row: int) -> None:
        """A request for the adapter goes to ``row``."""
        if target in self._known:
            self._in_flight.setdefault(target, Counter())[row] += 1

    def finished(self, target: str, row: int) -> None:
        """A request for ``target`` on ``row`` has ended."""
        counts = self._in_flight.get(target)
        if counts is None or counts[row] <= 0:
            return
        counts[row] -= 1
        if not counts[row]:
            del counts[row]
            if not counts:
                del self._in_flight[target]

    def forget(self, row: int) -> None:
        """The endpoint has left."""
        for target in list(self._in_flight):
            self._in_flight[target].pop(row, None)
            if not self._in_flight[target]:
                del self._in_flight[target]

    def _active(self, rows: Rows) -> Floats:
        counts: Counter[int] = Counter()
        for by_row in self._in_flight.values():
            counts.update(by_row.keys())
        return np.array([float(counts[int(row)]) for row in rows])
