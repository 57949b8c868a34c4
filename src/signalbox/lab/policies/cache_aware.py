"""``cache_aware`` of SGLang's router and of vllm-router. Source: their documentation of the thresholds, with the
defaults of vLLM router 0.1 and SGLang gateway 0.3.

While the busiest worker has more than ``balance_abs`` requests over the idlest, and more than ``balance_rel`` times as
many, the least loaded is taken. Otherwise the worker whose past requests share the longest prefix with this one, if
that is more than ``cache_threshold`` of it; else the one whose record of past requests, a tree of prefixes, is
smallest.
"""

from __future__ import annotations

from signalbox.lab.policies.peer import Peer, RowTable, contender, lowest
from signalbox.lab.stage import TracePrefixes
from signalbox.pool import Endpoint, Rows
from signalbox.scheduling import Cycle


class CacheAware(Peer):
    """The three thresholds, and the size of each worker's record in tokens."""

    def __init__(self, cache_threshold: float = 0.3, balance_abs: float = 64.0, balance_rel: float = 1.5) -> None:
        self.cache_threshold = cache_threshold
        self.balance_abs = balance_abs
        self.balance_rel = balance_rel
        self._recorded = RowTable()

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Choose by load, by prefix, or by the size of the record."""
        row = self._choose(cycle, rows)
        if cycle.prefix is not None:
            known = float(cycle.prefix.blocks[row]) * cycle.prefix.block_size
            self._recorded.add(row, max(cycle.prompt_tokens - known, 0.0))
        return row

    def _choose(self, cycle: Cycle, rows: Rows) -> int:
        load = cycle.columns.inflight[rows]
        high, low = float(load.max()), float(load.min())
        if high - low > self.balance_abs and high > self.balance_rel * low:
            return lowest(cycle, rows, load)
        if cycle.prefix is not None:
            matched = cycle.prefix.ratio(rows)
            if matched.max() > self.cache_threshold:
                return lowest(cycle, rows, -matched)
        return lowest(cycle, rows, self._recorded.of(rows))

    def left(self, endpoint: Endpoint) -> None:
        """Its record goes with it."""
        self._recorded.put(endpoint.row, 0.0)


CACHE_AWARE = contender("sglang-cache-aware", lambda stage: CacheAware(), TracePrefixes)
