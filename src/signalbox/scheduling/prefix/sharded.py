"""Integers by block hash, a million of them, in parts that grow one by one."""

from __future__ import annotations

import sys

# A dictionary that grows moves all its entries at once, 20 ms for a million of them. In 64 parts, chosen by the six
# highest bits of a hash, no request waits longer than about half a millisecond for that.
SHIFT = 58
_SHARDS = 1 << (64 - SHIFT)

_KEY_BYTES = 48  # an integer of 64 bits: 36 bytes, in an allocator that counts in steps of 16


class Sharded:
    """What sets of rows by block have in common: ``self._shards[key >> SHIFT]`` is where ``key`` belongs, and whoever
    adds or removes one counts it in ``self._count``. ``len()`` is that count."""

    __slots__ = ("_count", "_shards")

    def __init__(self) -> None:
        self._shards: list[dict[int, int]] = [{} for _ in range(_SHARDS)]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def memory_bytes(self) -> int:
        """Estimated size of the dictionaries and their keys; the sets are not counted."""
        return sum([sys.getsizeof(shard) for shard in self._shards]) + self._count * _KEY_BYTES
