"""Which KV blocks each sequence holds: what it found cached, what it computed, what it offers to others."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.engine.blocks import BlockPool
from signalbox.engine.cache_changes import CacheChange, Cached
from signalbox.engine.config import EngineConfig
from signalbox.engine.requests import Request, RequestState


class KVMemory:
    """The KV cache of one engine, as its sequences use it."""

    __slots__ = ("_caching", "_hash_blocks", "_size", "_unit", "pool")

    def __init__(self, config: EngineConfig, pool: BlockPool | None = None) -> None:
        """``pool`` is given to a copy; everybody else begins with an empty one."""
        self.pool = BlockPool(config.num_gpu_blocks, config.hash_blocks) if pool is None else pool
        self._size = config.block_size
        self._hash_blocks = config.hash_blocks
        self._unit = config.block_size * config.hash_blocks  # tokens a hash stands for
        self._caching = config.prefix_caching

    def offers(self, request: Request) -> bool:
        """Whether what this request generates is offered to the prefix cache."""
        return request.tokens_between is not None and self._caching

    def spared(self, hashes: Sequence[int], length: int) -> int:
        """How many of ``length`` tokens are cached that begin with these hashes. Changes nothing."""
        if not self._caching:
            return 0
        return self.pool.match(hashes, (length - 1) // self._unit)[0] * self._unit

    def admit(self, state: RequestState, length: int, budget: int) -> int | None:
        """Begin a sequence of ``length`` tokens with what is cached of it: how many tokens of it a batch with room for
        ``budget`` can compute; ``None`` and no change where these do not fit."""
        pool, unit, per_hash = self.pool, self._unit, self._hash_blocks
        # The last token is always computed: its logits give the next one.
        found, idle = pool.match(state.hashes, (length - 1) // unit) if self._caching else (0, 0)
        chunk = min(budget, length - found * unit)
        if -(-(found * unit + chunk) // self._size) - found * per_hash > pool.free - idle * per_hash:
            return None
        state.shared = state.hashes[:found]
        pool.share(state.shared)
        state.published = found
        state.computed = found * unit
        return chunk

    def extend(self, state: RequestState, end: int) -> bool:
        """Hold the blocks of a sequence's first ``end`` tokens, which a batch computes; False where they do not fit."""
        blocks = -(-end // self._size) - len(state.shared) * self._hash_blocks - state.private
        if not self.pool.allocate(blocks):
            return False
        state.private += blocks
        state.computed = end
        self.publish(state, end)
        return True

    def publish(self, state: RequestState, computed: int) -> None:
        """Offer the sequence's first ``computed`` tokens to the prefix cache, as far as they are known and fill what a
        hash stands for."""
        if not self._caching:
            return
        unit, hashes, begun = self._unit, state.hashes, state.published
        full = computed // unit
        while len(hashes) < full and state.request.tokens_between is not None:
            at = len(hashes)
            parent = hashes[-1] if hashes else state.request.root
            hashes.append(hash((parent, tuple(state.request.tokens_between(at * unit, (at + 1) * unit)))))
        if full > begun:
            shared = self.pool.publish(hashes[begun:full])
            state.private -= self._hash_blocks * len(shared)
            state.shared += shared
            if self.pool.changes is not None and shared:
                self._report(self.pool.changes, state, shared, begun, full)
            state.published = min(full, len(hashes))

    def _report(
        self, changes: list[CacheChange], state: RequestState, shared: Sequence[int], begun: int, full: int
    ) -> None:
        """Note that ``shared`` of the sequence's hashes from ``begun`` to ``full`` are cached: runs without a gap."""
        hashes, request, unit, new = state.hashes, state.request, self._unit, set(shared)
        start = begun
        while start < min(full, len(hashes)):
            end = start
            while end < min(full, len(hashes)) and hashes[end] in new:
                end += 1
            if end > start:
                tokens = () if request.tokens_between is None else request.tokens_between(start * unit, end * unit)
                parent = hashes[start - 1] if start else None
                changes.append(Cached(hashes[start:end], parent, tokens, request.adapter))
            start = end + 1

    def release(self, state: RequestState) -> None:
        """A sequence gives back all it holds."""
        self.pool.release(state.shared, state.private)
        state.shared, state.private, state.published, state.computed = [], 0, 0, 0

    def fork(self, config: EngineConfig) -> KVMemory:
        """A copy that goes its own way."""
        return KVMemory(config, self.pool.fork())
