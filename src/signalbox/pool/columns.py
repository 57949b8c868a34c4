"""The signals of a pool as numpy columns: one array for each signal, one row for each endpoint.

Filters and scorers work on whole columns, so a decision costs about the same over 8 endpoints and over 1,000. Rows are
handed out and taken back; a column only ever grows, by doubling.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from signalbox.pool.reported import Reported

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.intp]
Mask: TypeAlias = NDArray[np.bool_]
Hashes: TypeAlias = NDArray[np.uint64]

NEVER = -np.inf
"""``scraped_at`` of an endpoint whose metrics were never read."""

_INITIAL_ROWS = 8

NUMERIC: Final = (
    "waiting",
    "running",
    "kv_usage",
    "block_size",
    "kv_blocks",
    "kv_per_token",
    "offload_tokens",
    "lora_max",
    "lora_active",
    "lora_resident",
    "inflight",
    "inflight_tokens",
    "prefill_tokens",
    "decoding",
    "context_tokens",
    "kv_tokens",
    "inflight_mark",
    "kv_mark",
    "unseen",
    "failed_scrapes",
)
"""The columns of numbers that a row without an endpoint has 0 in."""

NAMES: Final = (
    *NUMERIC,
    "adapters",
    "capacity_changes",
    "failing",
    "identity",
    "listed",
    "listed_rows",
    "loaded",
    "loaded_adapters",
    "lora_idle_since",
    "report",
    "reported",
    "resident",
    "scrape_interval",
    "scraped_at",
    "size",
    "unseen_rows",
)
"""All that `Columns` have."""


class Columns:
    """One array per signal; every array has ``size`` entries and is indexed by row.

    Scraped: ``waiting`` and ``running`` (requests), ``kv_usage`` (fraction 0 to 1), ``block_size`` (tokens),
    ``kv_blocks``, ``offload_tokens`` (what tiers beside the device hold), ``lora_max`` (adapters in a batch),
    ``lora_active`` (how many adapters have a request in flight), ``scraped_at`` (seconds). ``failed_scrapes`` counts
    the scrapes that failed since the last good one.

    Ours, written by :class:`~signalbox.pool.accounts.Accounts`: ``inflight`` (requests); ``prefill_tokens`` (prompt
    tokens to be computed for requests that have had no answer yet); ``inflight_tokens`` (the same plus the expected
    answers of all); ``decoding`` (requests past their first token); ``context_tokens`` (whole prompts and expected
    answers, until the end); ``kv_tokens`` (what they add to the KV cache: the same without what was cached). Two of
    them as they were when the last finished scrape began: ``inflight_mark`` and ``kv_mark``. ``unseen``: requests on
    our account that the server has not shown for a while; see :mod:`signalbox.pool.unseen`.

    Of models: ``adapters`` has, for each LoRA adapter with a request in flight somewhere, a mask of the rows where it
    has; ``resident`` the same for adapters believed to be in a server's memory, busy or not, which
    :mod:`signalbox.pool.residency` keeps, with ``lora_resident`` their number and ``lora_idle_since`` when the one that
    would be displaced first was last used. ``loaded`` has a mask for each name some server lists among its models:
    where it can be asked for, in memory or not; ``listed`` says whose list is known. ``identity`` is a hash of the
    endpoint's address, equal in every picker.
    """

    __slots__ = NAMES

    def __init__(self) -> None:
        self.size = _INITIAL_ROWS
        self.waiting: Floats = np.zeros(self.size)
        self.running: Floats = np.zeros(self.size)
        self.kv_usage: Floats = np.zeros(self.size)
        self.block_size: Floats = np.zeros(self.size)
        self.kv_blocks: Floats = np.zeros(self.size)
        self.kv_per_token: Floats = np.zeros(self.size)
        self.offload_tokens: Floats = np.zeros(self.size)
        self.lora_max: Floats = np.zeros(self.size)
        self.lora_active: Floats = np.zeros(self.size)
        self.lora_resident: Floats = np.zeros(self.size)
        self.lora_idle_since: Floats = np.full(self.size, NEVER)
        self.identity: Hashes = np.zeros(self.size, np.uint64)
        self.inflight: Floats = np.zeros(self.size)
        self.inflight_tokens: Floats = np.zeros(self.size)
        self.prefill_tokens: Floats = np.zeros(self.size)
        self.decoding: Floats = np.zeros(self.size)
        self.context_tokens: Floats = np.zeros(self.size)
        self.kv_tokens: Floats = np.zeros(self.size)
        self.inflight_mark: Floats = np.zeros(self.size)
        self.kv_mark: Floats = np.zeros(self.size)
        self.unseen: Floats = np.zeros(self.size)
        self.failed_scrapes: Floats = np.zeros(self.size)
        self.scraped_at: Floats = np.full(self.size, NEVER)
        self.scrape_interval = 0.0
        """Seconds between two scrapes of an endpoint as things are now; 0 where nobody said."""
        self.adapters: dict[str, Mask] = {}
        self.resident: dict[str, Mask] = {}
        self.loaded: dict[str, Mask] = {}
        self.listed: Mask = np.zeros(self.size, bool)
        self.listed_rows = 0
        """How many rows have a list of models."""
        self.loaded_adapters: frozenset[str] = frozenset()
        """Of the names in ``loaded``, those that some server lists as an adapter."""
        self.failing = 0
        """How many rows have failed scrapes since their last good one."""
        self.unseen_rows = 0
        """How many rows have unseen requests."""
        self.reported = 0
        """Grows whenever what endpoints report has changed, for whoever keeps a copy."""
        self.report = Reported(self)
        """What the scraped columns come to; another object whenever ``reported`` grows."""
        self.capacity_changes = 0
        """How often some endpoint's KV capacity turned out to be another one than was known."""

    def grow(self) -> None:
        """Double the number of rows; existing rows keep their values."""
        added = self.size
        for name in NUMERIC:
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(added)]))
        self.scraped_at = np.concatenate([self.scraped_at, np.full(added, NEVER)])
        self.lora_idle_since = np.concatenate([self.lora_idle_since, np.full(added, NEVER)])
        self.identity = np.concatenate([self.identity, np.zeros(added, np.uint64)])
        self.listed = np.concatenate([self.listed, np.zeros(added, bool)])
        for masks in (self.adapters, self.resident, self.loaded):
            masks.update({name: np.concatenate([mask, np.zeros(added, bool)]) for name, mask in masks.items()})
        self.size += added
        self._report_changed()

    def clear(self, row: int) -> None:
        """Forget everything about ``row``."""
        if self.failed_scrapes[row]:
            self.failing -= 1
        self.set_unseen(row, 0.0)
        for name in NUMERIC:
            getattr(self, name)[row] = 0.0
        self.scraped_at[row] = NEVER
        self._report_changed()
        self.set_adapters(row, frozenset())
        self.set_resident(row, frozenset(), NEVER)

    def set_adapters(self, row: int, active: frozenset[str]) -> None:
        """Record that exactly the adapters ``active`` have a request in flight on ``row``."""
        self.set_names(self.adapters, row, active)
        self.lora_active[row] = len(active)
        for name in active:
            if not self._has(self.resident, row, name):
                self._set(self.resident, row, name)
                self.lora_resident[row] += 1

    def set_resident(self, row: int, names: frozenset[str], idle_since: float) -> None:
        """Record that the adapters ``names`` are believed to be in the memory of ``row``, of which the one that has
        been idle for longest was last used at ``idle_since`` (seconds)."""
        self.set_names(self.resident, row, names)
        self.lora_resident[row] = len(names)
        self.lora_idle_since[row] = idle_since

    def set_names(self, masks: dict[str, Mask], row: int, names: frozenset[str]) -> None:
        """Make ``names`` the ones whose mask of ``masks`` has ``row``; a name without rows has no mask."""
        for name, mask in list(masks.items()):
            if mask[row] and name not in names:
                mask[row] = False
                if not mask.any():
                    del masks[name]
        for name in names:
            self._set(masks, row, name)

    def _set(self, masks: dict[str, Mask], row: int, name: str) -> None:
        mask = masks.get(name)
        if mask is None:
            mask = masks[name] = np.zeros(self.size, bool)
        mask[row] = True

    def _has(self, masks: dict[str, Mask], row: int, name: str) -> bool:
        mask = masks.get(name)
        return mask is not None and bool(mask[row])

    @property
    def knows_adapters(self) -> bool:
        """Whether there is a name for which :meth:`is_adapter` is true."""
        return bool(self.resident or self.loaded_adapters)

    def is_adapter(self, name: str) -> bool:
        """Say whether some server lists ``name`` as an adapter, or has it in a slot: base models are in none."""
        return name in self.loaded_adapters or name in self.resident

    def scraped(self, row: int, now: float) -> None:
        """Record a good scrape of ``row``."""
        self.scraped_at[row] = now
        self._report_changed()
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

    def set_offload(self, row: int, tokens: float) -> None:
        """Record how many tokens ``row`` keeps in tiers beside the device."""
        if self.offload_tokens[row] != tokens:
            self.offload_tokens[row] = tokens
            self.capacity_changes += 1

    def set_unseen(self, row: int, requests: float) -> None:
        """Record how many requests of ``row`` its server has not shown for a while."""
        self.unseen_rows += int(requests > 0) - int(self.unseen[row] > 0)
        self.unseen[row] = requests

    def _report_changed(self) -> None:
        self.reported += 1
        self.report = Reported(self)

    def requests(self, rows: Rows) -> Floats:
        """Return our requests in flight, less those the server has not shown for a while; never negative."""
        counts: Floats = self.inflight[rows]
        if self.unseen_rows:
            counts -= self.unseen[rows]
            np.maximum(counts, 0.0, out=counts)
        return counts

    def believed(self, column: Floats, rows: Rows) -> Floats:
        """Return ``column``, one of our own sums over requests, for the requests that :meth:`requests` counts.

        Which of them are unseen is not known, so each is taken for an average one.
        """
        values: Floats = column[rows]
        if self.unseen_rows:
            values *= self.requests(rows) / np.maximum(self.inflight[rows], 1.0)
        return values

    def believed_at(self, column: Floats, row: int) -> float:
        """Return :meth:`believed` of one row."""
        value = float(column[row])
        if not value or not self.unseen[row]:
            return value
        inflight = float(self.inflight[row])
        return value * (max(inflight - float(self.unseen[row]), 0.0) / max(inflight, 1.0))

    def queue(self, rows: Rows) -> Floats:
        """Requests waiting, corrected for what we sent and what ended since the scrape began; never negative.

        A request sent after the last scrape may be running rather than waiting by now. Counting it as waiting until
        the next scrape says so is what keeps arrivals between two scrapes from all choosing the same endpoint.
        """
        estimate: Floats = self.inflight[rows]
        estimate += self.report.queue_beyond_ours[rows]
        return np.maximum(estimate, 0.0, out=estimate)

    def kv(self, rows: Rows) -> Floats:
        """KV usage (fraction), plus the tokens sent since the scrape where the server told its capacity."""
        if not self.report.tells_capacity:
            return self.kv_usage[rows]
        sent = self.kv_tokens[rows] - self.kv_mark[rows]
        np.maximum(sent, 0.0, out=sent)
        sent *= self.kv_per_token[rows]
        sent += self.kv_usage[rows]
        return sent
