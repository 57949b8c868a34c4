"""The signals of a pool as numpy columns: one array for each signal, one row for each endpoint.

Filters and scorers work on whole columns, so a decision costs about the same over 8 endpoints and over 1,000. Rows are
handed out and taken back; a column only ever grows, by doubling.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]

NEVER = -np.inf
"""``scraped_at`` of an endpoint whose metrics were never read."""

_INITIAL_ROWS = 8


class Columns:
    """One array per signal; every array has ``size`` entries and is indexed by row.

    Scraped: ``waiting`` and ``running`` (requests), ``kv_usage`` (fraction 0 to 1), ``block_size`` (tokens),
    ``kv_blocks``, ``lora_max`` (adapters in a batch), ``lora_active`` (how many adapters have a request in flight),
    ``scraped_at`` (seconds). Ours: ``inflight`` (requests) and ``inflight_tokens`` (estimated prompt and answer
    tokens), and the same two as they were when the last finished scrape began: ``inflight_mark`` and ``tokens_mark``.
    ``failed_scrapes`` counts the scrapes that failed since the last good one.
    """

    __slots__ = (
        "adapters",
        "block_size",
        "capacity_changes",
        "failed_scrapes",
        "failing",
        "inflight",
        "inflight_mark",
        "inflight_tokens",
        "kv_blocks",
        "kv_per_token",
        "kv_usage",
        "lora_active",
        "lora_max",
        "running",
        "scraped_at",
        "size",
        "tokens_mark",
        "waiting",
    )

    _NUMERIC = (
        "waiting",
        "running",
        "kv_usage",
        "block_size",
        "kv_blocks",
        "kv_per_token",
        "lora_max",
        "lora_active",
        "inflight",
        "inflight_tokens",
        "inflight_mark",
        "tokens_mark",
        "failed_scrapes",
    )

    def __init__(self) -> None:
        self.size = _INITIAL_ROWS
        self.waiting: Floats = np.zeros(self.size)
        self.running: Floats = np.zeros(self.size)
        self.kv_usage: Floats = np.zeros(self.size)
        self.block_size: Floats = np.zeros(self.size)
        self.kv_blocks: Floats = np.zeros(self.size)
        self.kv_per_token: Floats = np.zeros(self.size)
        self.lora_max: Floats = np.zeros(self.size)
        self.lora_active: Floats = np.zeros(self.size)
        self.inflight: Floats = np.zeros(self.size)
        self.inflight_tokens: Floats = np.zeros(self.size)
        self.inflight_mark: Floats = np.zeros(self.size)
        self.tokens_mark: Floats = np.zeros(self.size)
        self.failed_scrapes: Floats = np.zeros(self.size)
        self.scraped_at: Floats = np.full(self.size, NEVER)
        self.adapters: dict[str, Mask] = {}
        self.failing = 0
        """How many rows have failed scrapes since their last good one."""
        self.capacity_changes = 0
        """How often some endpoint's KV capacity turned out to be another one than was known."""

    def grow(self) -> None:
        """Double the number of rows; existing rows keep their values."""
        added = self.size
        for name in self._NUMERIC:
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(added)]))
        self.scraped_at = np.concatenate([self.scraped_at, np.full(added, NEVER)])
        self.adapters = {name: np.concatenate([mask, np.zeros(added, bool)]) for name, mask in self.adapters.items()}
        self.size += added

    def clear(self, row: int) -> None:
        """Forget everything about ``row``."""
        if self.failed_scrapes[row]:
            self.failing -= 1
        for name in self._NUMERIC:
            getattr(self, name)[row] = 0.0
        self.scraped_at[row] = NEVER
        self.set_adapters(row, frozenset())

    def set_adapters(self, row: int, active: frozenset[str]) -> None:
        """Record that exactly the adapters ``active`` have a request in flight on ``row``."""
        for name, mask in list(self.adapters.items()):
            if mask[row] and name not in active:
                mask[row] = False
                if not mask.any():
                    del self.adapters[name]
        for name in active:
            mask_of = self.adapters.get(name)
            if mask_of is None:
                mask_of = self.adapters[name] = np.zeros(self.size, bool)
            mask_of[row] = True
        self.lora_active[row] = len(active)

    def scraped(self, row: int, now: float) -> None:
        """Record a good scrape of ``row``."""
        self.scraped_at[row] = now
        if self.failing and self.failed_scrapes[row]:
            self.failed_scrapes[row] = 0.0
            self.failing -= 1

    def scrape_failed(self, row: int) -> None:
        """Record a failed scrape of ``row``."""
        if not self.failed_scrapes[row]:
            self.failing += 1
        self.failed_scrapes[row] += 1

    def set_capacity(self, row: int, block_size: int | None, kv_blocks: int | None) -> None:
        """Record how many tokens a KV block of ``row`` holds and how many blocks there are; ``None`` leaves a
        number."""
        if block_size is not None and self.block_size[row] != block_size:
            self.block_size[row] = block_size
            self.capacity_changes += 1
        if kv_blocks is not None and self.kv_blocks[row] != kv_blocks:
            self.kv_blocks[row] = kv_blocks
            self.capacity_changes += 1
        tokens = self.block_size[row] * self.kv_blocks[row]
        self.kv_per_token[row] = 1.0 / tokens if tokens > 0 else 0.0

    def queue(self, rows: Rows) -> Floats:
        """Requests waiting, corrected for what we sent and what ended since the scrape began; never negative.

        A request sent after the last scrape may be running rather than waiting by now. Counting it as waiting until
        the next scrape says so is what keeps arrivals between two scrapes from all choosing the same endpoint.
        """
        estimate: Floats = self.inflight[rows] - self.inflight_mark[rows]
        estimate += self.waiting[rows]
        return np.maximum(estimate, 0.0, out=estimate)

    def kv(self, rows: Rows) -> Floats:
        """KV usage (fraction), plus the tokens sent since the scrape where the server told its capacity."""
        sent = self.inflight_tokens[rows] - self.tokens_mark[rows]
        np.maximum(sent, 0.0, out=sent)
        sent *= self.kv_per_token[rows]
        sent += self.kv_usage[rows]
        return sent
