"""What an adapter costs where it is not in the running batch: a slot to wait for, and weights to load."""

from __future__ import annotations

from collections import Counter

import numpy as np

from signalbox.pool import Columns, Floats, Mask, Rows, few


class Slots:
    """Counts our own requests in flight by row and adapter: what servers report is as old as the last scrape, and a
    burst is over by then."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._in_flight: dict[str, Counter[int]] = {}
        self._active: Floats = np.zeros(8)  # for each row how many adapters have a request of ours in flight

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

        And a slot that it takes is another adapter's no longer, for ``hold`` seconds at least; the fewer are left the
        likelier somebody wants it. That counts as the square of the share that is taken then. Without that price,
        adapters asked for by many spread over all servers, and those asked for by few find no slot anywhere.
        """
        self._fit(columns.size)
        seconds = np.full(len(rows), load_seconds)
        resident = columns.resident.get(target)
        if resident is not None:
            seconds[resident[rows]] = 0.0
        slots = columns.lora_max[rows]
        # A request may end unseen, as when its configuration was replaced: no more than are in flight are believed.
        requests = columns.requests(rows)
        active = np.maximum(columns.lora_active[rows], np.minimum(self._active[rows], requests))
        full = (active >= slots) & (slots > 0)
        if full.any():
            seconds += full * hold * np.maximum(requests / np.maximum(active, 1.0), 1.0)
        limited = slots > 0
        if limited.any():
            taken = np.minimum((active + 1.0) / np.maximum(slots, 1.0), 1.0)
            seconds += limited * hold * (taken * taken)
        reported = columns.adapters.get(target)
        if reported is not None:
            seconds[reported[rows]] = 0.0
        own = self._in_flight.get(target)
        if own:
            ours: Mask = np.zeros(columns.size, bool)
            ours[list(own)] = True
            seconds[ours[rows] & (requests > 0)] = 0.0
        return seconds

    def wait_few(
        self, columns: Columns, target: str, rows: list[int], load_seconds: float, hold: list[float]
    ) -> list[float]:
        """Return the same, in a small pool."""
        self._fit(columns.size)
        resident, reported = columns.resident.get(target), columns.adapters.get(target)
        loaded = [] if resident is None else resident.tolist()
        running = [] if reported is None else reported.tolist()
        slots, active, ours = columns.lora_max.tolist(), columns.lora_active.tolist(), self._active.tolist()
        own = self._in_flight.get(target, Counter())
        waits = []
        for row, stay, requests in zip(rows, hold, few.requests(columns, rows), strict=True):
            if (running and running[row]) or (requests > 0 and row in own):
                waits.append(0.0)
                continue
            wait = 0.0 if loaded and loaded[row] else load_seconds
            busy = max(active[row], min(ours[row], requests))
            limit = slots[row]
            if busy >= limit > 0:
                wait += stay * max(requests / max(busy, 1.0), 1.0)
            if limit > 0:
                taken = min((busy + 1.0) / limit, 1.0)
                wait += stay * (taken * taken)
            waits.append(wait)
        return waits

    def routed(self, target: str, row: int) -> None:
        """A request for the adapter goes to ``row``."""
        if target in self._known:
            self._fit(row + 1)
            counts = self._in_flight.setdefault(target, Counter())
            counts[row] += 1
            self._active[row] += counts[row] == 1

    def finished(self, target: str, row: int) -> None:
        """A request for ``target`` on ``row`` has ended."""
        counts = self._in_flight.get(target)
        if counts is None or counts[row] <= 0:
            return
        counts[row] -= 1
        if not counts[row]:
            self._drop(target, row)

    def forget(self, row: int) -> None:
        """The endpoint has left."""
        for target in [target for target, counts in self._in_flight.items() if row in counts]:
            self._drop(target, row)

    def _drop(self, target: str, row: int) -> None:
        counts = self._in_flight[target]
        del counts[row]
        self._active[row] -= 1.0
        if not counts:
            del self._in_flight[target]

    def _fit(self, size: int) -> None:
        if len(self._active) < size:
            self._active = np.concatenate([self._active, np.zeros(size - len(self._active))])
