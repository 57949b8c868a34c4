"""What the last scrapes said, summed up: worked out once for each change, not once for each decision."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signalbox.pool.columns import Columns, Floats


class Reported:
    """One state of the scraped columns. The lists have an entry for each row and are for small pools."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    @cached_property
    def longest_queue(self) -> float:
        """The most requests that wait anywhere."""
        return float(self._columns.waiting.max())

    @cached_property
    def fullest_cache(self) -> float:
        """The highest KV usage anywhere, as a fraction."""
        return float(self._columns.kv_usage.max())

    @cached_property
    def room_for_adapters(self) -> bool:
        """Whether some server has fewer adapters with requests than it can batch."""
        return bool((self._columns.lora_active < self._columns.lora_max).any())

    @cached_property
    def tells_capacity(self) -> bool:
        """Whether some server told how many tokens its KV cache holds."""
        return bool(self._columns.kv_per_token.any())

    @cached_property
    def queue_beyond_ours(self) -> Floats:
        """Requests waiting, less those of ours that were in flight when the scrape began."""
        return self._columns.waiting - self._columns.inflight_mark

    @cached_property
    def queue_beyond_ours_plain(self) -> list[float]:
        """The same."""
        return _plain(self.queue_beyond_ours)

    @cached_property
    def kv_usage(self) -> list[float]:
        """KV usage, as fractions."""
        return _plain(self._columns.kv_usage)

    @cached_property
    def kv_mark(self) -> list[float]:
        """Tokens of ours that were in flight when the scrape began."""
        return _plain(self._columns.kv_mark)

    @cached_property
    def kv_per_token(self) -> list[float]:
        """What one token adds to the KV usage."""
        return _plain(self._columns.kv_per_token)


def _plain(column: Floats) -> list[float]:
    plain: list[float] = column.tolist()
    return plain
