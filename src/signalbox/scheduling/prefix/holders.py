"""Which endpoints hold which block: for each hash a Python integer with one bit for each row that holds it.

An endpoint that holds a block holds all blocks before it, so along a chain the sets can only shrink. That makes a
chain a sorted list: where a set changes is found by bisection, and a prompt of 1,600 blocks that five endpoints share
in different lengths takes some fifty look-ups.
"""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.scheduling.prefix.sharded import SHIFT, Sharded

Level = tuple[int, int]
"""``(end, rows)``: up to block ``end`` of a chain, and not behind it, all of ``rows`` hold it."""


class Holders(Sharded):
    """Sets of rows by block hash, shared between neighbouring blocks. ``len()`` counts the blocks that anybody
    holds."""

    __slots__ = ()

    def levels(self, chain: Sequence[int], start: int = 0) -> list[Level]:
        """Return the sets of rows along ``chain`` from block ``start`` on, each with where it ends; no empty ones."""
        shards = self._shards
        found: list[Level] = []
        last = len(chain) - 1
        if start > last:
            return found
        low = start
        digest = chain[low]
        rows = shards[digest >> SHIFT].get(digest, 0)
        digest = chain[last]
        pending = [(last, shards[digest >> SHIFT].get(digest, 0))]
        while rows and pending:
            high, rows_there = pending[-1]
            if rows_there == rows:
                low = high
                pending.pop()
            elif high - low == 1:
                found.append((high, rows))
                low, rows = pending.pop()
            else:
                middle = (low + high) >> 1
                digest = chain[middle]
                pending.append((middle, shards[digest >> SHIFT].get(digest, 0)))
        if rows:
            found.append((last + 1, rows))
        return found

    def add(self, chain: Sequence[int], start: int, bit: int) -> None:
        """Add the row of ``bit`` to all blocks of ``chain`` from ``start`` on."""
        shards = self._shards
        digest = chain[start]
        # What is new to one row is most often new to all; and nobody holds the rest who does not hold its beginning.
        known = self.levels(chain, start) if shards[digest >> SHIFT].get(digest) else []
        for end, rows in known:
            rows |= bit  # one integer for the whole run: large sets are stored once
            for digest in chain[start:end]:
                shards[digest >> SHIFT][digest] = rows
            start = end
        self._count += len(chain) - start
        for digest in chain[start:] if start else chain:
            shards[digest >> SHIFT][digest] = bit

    def drop(self, blocks: Sequence[int], bit: int) -> None:
        """Take the row of ``bit`` out of all of ``blocks``; forget blocks that nobody holds any more."""
        shards = self._shards
        before, after = 0, 0
        for digest in blocks:
            shard = shards[digest >> SHIFT]
            rows = shard.get(digest, 0)
            if rows != before:
                before, after = rows, rows & ~bit
            if after:
                shard[digest] = after
            elif rows:
                del shard[digest]
                self._count -= 1
