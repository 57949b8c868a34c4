"""Which LoRA adapters are in the memory of which server.

vLLM's metrics list the adapters with a request in flight. One that is loaded and idle is in no list, though a request
for it costs nothing there and 10 to 100 ms elsewhere. So it is remembered: an adapter is resident where it was busy,
where a request for it was answered, and, on servers that have the gauge ``vllm:lora_adapter_loaded``, exactly where
that says. It stops being so when the server displaces it, which goes by least recent use: of more adapters than the
server has slots the ones used longest ago are forgotten, never a busy one. A server that refuses the name (404) or no
longer lists it does not have it either.
"""

from __future__ import annotations

from signalbox.pool.columns import NEVER, Columns

UNTOLD_SLOTS = 8
"""Adapters remembered for a server that does not say how many it holds."""


class Residency:
    """Writes the columns ``resident``, ``lora_resident`` and ``lora_idle_since``. Times are seconds."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._used: dict[int, dict[str, float]] = {}  # by row: adapters and when last used, least recently used first
        self._gauged: set[int] = set()

    def reported(self, row: int, busy: frozenset[str], gauge: frozenset[str] | None, now: float) -> None:
        """Take in a scrape: the adapters with requests in flight, and those in memory where the server says."""
        used = self._used.get(row)
        if gauge is not None:
            self._gauged.add(row)
            used = {name: time for name, time in (used or {}).items() if name in gauge or name in busy}
            for name in gauge:
                used.setdefault(name, NEVER)
        elif used is None and not busy:
            return
        self._use(row, used or {}, busy, now)

    def gauge_gone(self, row: int) -> None:
        """A scrape came without the gauge: a server of another version runs there now, and what it has is
        remembered as of any other."""
        self._gauged.discard(row)

    def answered(self, row: int, adapter: str, now: float) -> None:
        """A request for the adapter was answered. Servers with the gauge know better where it is."""
        if row not in self._gauged:
            self._use(row, self._used.get(row, {}), (adapter,), now)

    def lost(self, row: int, adapter: str) -> None:
        """The server does not have the adapter."""
        used = self._used.get(row)
        if used is not None and used.pop(adapter, None) is not None:
            self._write(row, used)

    def keep_only(self, row: int, names: frozenset[str]) -> None:
        """The server lists ``names``, and nothing else is in its memory."""
        for adapter in [name for name in self._used.get(row, ()) if name not in names]:
            self.lost(row, adapter)

    def forget(self, row: int) -> None:
        """The endpoint has left."""
        self._used.pop(row, None)
        self._gauged.discard(row)

    def _use(self, row: int, used: dict[str, float], adapters: frozenset[str] | tuple[str, ...], now: float) -> None:
        for adapter in adapters:
            used.pop(adapter, None)
            used[adapter] = now
        self._used[row] = used
        self._write(row, used)

    def _write(self, row: int, used: dict[str, float]) -> None:
        columns = self._columns
        busy = {name for name in used if (mask := columns.adapters.get(name)) is not None and mask[row]}
        surplus = len(used) - int(columns.lora_max[row] or UNTOLD_SLOTS)
        if surplus > 0 and row not in self._gauged:
            for name in [name for name in used if name not in busy][:surplus]:
                del used[name]
        idle_since = next((time for name, time in used.items() if name not in busy), NEVER)
        columns.set_resident(row, frozenset(used), idle_since)
