"""KV cache blocks: reference counts, the prefix cache, and least-recently-used eviction with tails before heads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from signalbox.engine.cache_changes import CacheChange, Evicted


def chain_hashes(tokens: Sequence[int], block_size: int, root: int = 0) -> list[int]:
    """The chained hash of every full block of ``tokens``: each covers its own tokens and all before them.

    ``root`` separates what must not share blocks (adapters, cache salts). Hashes of ints do not vary between processes.
    """
    hashes: list[int] = []
    parent = root
    for start in range(0, len(tokens) - block_size + 1, block_size):
        parent = hash((parent, tuple(tokens[start : start + block_size])))
        hashes.append(parent)
    return hashes


class BlockPool:
    """A fixed number of KV blocks.

    A live block is held by at least one request: *shared* under its hash with a reference count, or *private* while it
    has none. A free block may still hold a cached prefix (*idle*) until somebody needs the room. Blocks without a hash
    are interchangeable, so they are only counted.

    One hash stands for ``hash_blocks`` consecutive blocks, which are shared, cached and evicted together; everything
    else counts single blocks.
    """

    __slots__ = ("_idle", "_private", "_references", "changes", "hash_blocks", "total")

    def __init__(self, total: int, hash_blocks: int = 1) -> None:
        if total < 1:
            raise ValueError(f"BlockPool total: {total} blocks; at least 1 is needed")
        self.total = total
        self.hash_blocks = hash_blocks
        self._references: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()  # oldest first
        self._private = 0
        self.changes: list[CacheChange] | None = None
        """What became of the prefix cache since somebody last took it; ``None`` while nobody listens."""

    @property
    def live(self) -> int:
        """Blocks held by requests."""
        return len(self._references) * self.hash_blocks + self._private

    @property
    def free(self) -> int:
        """Blocks that can be allocated, idle cached ones included."""
        return self.total - len(self._references) * self.hash_blocks - self._private

    @property
    def idle(self) -> int:
        """Free blocks that still hold a cached prefix."""
        return len(self._idle) * self.hash_blocks

    def match(self, hashes: Sequence[int], limit: int) -> tuple[int, int]:
        """(how many leading hashes are cached, how many of these are idle), looking at ``limit`` hashes at most."""
        found = idle = 0
        for block in hashes[:limit]:
            if block in self._idle:
                idle += 1
            elif block not in self._references:
                break
            found += 1
        return found, idle

    def share(self, hashes: Sequence[int]) -> None:
        """Take a reference on cached blocks that ``match`` just found."""
        references, idle = self._references, self._idle
        for block in hashes:
            if block in references:
                references[block] += 1
            else:
                del idle[block]
                references[block] = 1

    def allocate(self, count: int) -> bool:
        """Take ``count`` private blocks, evicting the oldest idle ones; False and no change if they do not fit."""
        free = self.free
        if count > free:
            return False
        short = count - (free - self.idle)
        if short > 0:
            evicted = range(-(-short // self.hash_blocks))
            if self.changes is None:
                for _ in evicted:
                    self._idle.popitem(last=False)
            else:
                self.changes.append(Evicted([self._idle.popitem(last=False)[0] for _ in evicted]))
        self._private += count
        return True

    def publish(self, blocks: Sequence[int]) -> list[int]:
        """The private blocks of these hashes are full: share them; which were, as others already have the rest."""
        references, idle = self._references, self._idle
        shared = []
        for block in blocks:
            if block not in references and block not in idle:
                references[block] = 1
                shared.append(block)
        self._private -= len(shared) * self.hash_blocks
        return shared

    def release(self, shared: Sequence[int], private: int) -> None:
        """Give back one request's blocks, ``shared`` hashes in chain order: its tail will be the first evicted."""
        references = self._references
        for block in reversed(shared):
            count = references[block] - 1
            if count:
                references[block] = count
            else:
                del references[block]
                self._idle[block] = None
        self._private -= private

    def fork(self) -> BlockPool:
        """A copy that goes its own way."""
        copy = BlockPool(self.total, self.hash_blocks)
        copy._references = self._references.copy()
        copy._idle = self._idle.copy()
        copy._private = self._private
        return copy
