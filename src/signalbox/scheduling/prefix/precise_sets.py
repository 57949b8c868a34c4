"""Sets of rows by block, where an endpoint may hold a block without those before it."""

from __future__ import annotations

from collections.abc import Iterable

from signalbox.scheduling.prefix.sharded import SHIFT, Sharded


class RowSets(Sharded):
    """For each block a Python integer with one bit for each row. ``len()`` counts blocks with any."""

    __slots__ = ()

    def get(self, key: int) -> int:
        """Return the rows of a block."""
        return self._shards[key >> SHIFT].get(key, 0)

    def along(self, chain: Iterable[int]) -> Iterable[int]:
        """Return the rows of each block of a chain, in turn."""
        shards = self._shards
        return (shards[key >> SHIFT].get(key, 0) for key in chain)

    def add(self, key: int, bit: int) -> bool:
        """Add a row to a block; return whether it was not there before."""
        shard = self._shards[key >> SHIFT]
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
        shard = self._shards[key >> SHIFT]
        rows = shard.get(key, 0)
        left = rows & ~bit
        if left:
            shard[key] = left
        elif rows:
            del shard[key]
            self._count -= 1
