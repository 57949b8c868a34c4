"""Sets of rows by block, where an endpoint may hold a block without those before it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

_SHIFT = 58
_SHARDS = 1 << (64 - _SHIFT)  # see `signalbox.scheduling.prefix.holders`

_KEY_BYTES = 48


class RowSets:
    """For each block a Python integer with one bit for each row. ``len()`` counts blocks with any."""

    __slots__ = ("_count", "_shards")

    def __init__(self) -> None:
        self._shards: list[dict[int, int]] = [{} for _ in range(_SHARDS)]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def memory_bytes(self) -> int:
        """Estimated size."""
        return sum([sys.getsizeof(shard) for shard in self._shards]) + self._count * _KEY_BYTES

    def get(self, key: int) -> int:
        """Return the rows of a block."""
        return self._shards[key >> _SHIFT].get(key, 0)

    def along(self, chain: Iterable[int]) -> Iterable[int]:
        """Return the rows of each block of a chain, in turn."""
        shards = self._shards
        return (shards[key >> _SHIFT].get(key, 0) for key in chain)

    def add(self, key: int, bit: int) -> bool:
        """Add a row to a block; return whether it was not there before."""
        shard = self._shards[key >> _SHIFT]
        rows = shard.get(key)
        if rows is None:
            shard[key] = bit
            self._count += 1
            return True
        if rows & bit:
            return False
        shard[key] = rows | bit
        return True

    def drop(self, key: int, bit: int) -> None:
        """Take a row out of a block."""
        shard = self._shards[key >> _SHIFT]
        rows = shard.get(key, 0)
        left = rows & ~bit
        if left:
            shard[key] = left
        elif rows:
            del shard[key]
            self._count -= 1
