"""The prefix index of one pool, kept in line with its endpoints.

The index knows rows; this knows which endpoint a row is, how many tokens its engine says it can cache, and when it
has left.
"""

from __future__ import annotations

import msgspec

from signalbox.payloads import Request
from signalbox.pool import Endpoint, Pool
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters
from signalbox.scheduling.prefix import (
    Cutter,
    Insertion,
    PrefixIndex,
    PrefixMatch,
    PromptBlocks,
    block_size_for,
    engine_capacity,
)


class Lookup(msgspec.Struct, frozen=True):
    """A prompt cut into blocks, and who is believed to hold its beginning."""

    blocks: PromptBlocks
    match: PrefixMatch

    def cached_tokens(self, endpoint: Endpoint) -> float:
        """Return how many tokens of the prompt ``endpoint`` is believed to hold."""
        held = float(self.match.blocks[endpoint.row]) * self.match.block_size
        return min(held, float(self.blocks.tokens))


class PrefixTracker:
    """Looks prompts up and remembers where they were sent."""

    def __init__(self, pool: Pool, parameters: PrefixIndexParameters) -> None:
        self.parameters = parameters
        self._pool = pool
        self._index = PrefixIndex(parameters.block_size_tokens)
        self._cutter = Cutter()
        self._capacity_changes = -1
        self._seen: tuple[Endpoint, ...] = ()

    @property
    def blocks(self) -> int:
        """Distinct blocks in the index."""
        return self._index.blocks

    @property
    def memory_bytes(self) -> int:
        """Estimated memory of the index."""
        return self._index.memory_bytes

    def look_up(self, request: Request, target: str) -> Lookup:
        """Cut the prompt into blocks for the model ``target`` and match them."""
        self._settle()
        index = self._index
        most = (
            self.parameters.max_prefix_tokens_to_match or self.parameters.max_prefix_blocks_to_match * index.block_size
        )
        blocks = self.cut(request, target, index.block_size, most)
        return Lookup(blocks, index.match(blocks, self._pool.columns.size))

    def cut(self, request: Request, target: str, block_size: int, most: int) -> PromptBlocks:
        """Cut a prompt into blocks of ``block_size`` tokens, up to ``most`` tokens. For whoever knows prompts by other
        means than their text to override."""
        return self._cutter.cut(request, target, block_size, most)

    def remember(self, lookup: Lookup, endpoint: Endpoint) -> Insertion | None:
        """The prompt goes to ``endpoint``; ``None`` where the engines' block size changed since it was looked up."""
        if lookup.blocks.block_size != self._index.block_size:
            return None
        return self._index.insert(lookup.blocks, endpoint.row)

    def move(self, insertion: Insertion, lookup: Lookup, endpoint: Endpoint) -> Insertion | None:
        """The prompt went to ``endpoint`` instead; ``None`` as `remember`."""
        self._index.give_back(insertion)
        return self.remember(lookup, endpoint)

    def give_back(self, insertion: Insertion) -> None:
        """The request failed: its prompt was not cached after all."""
        self._index.give_back(insertion)

    def forget(self, endpoint: Endpoint) -> None:
        """The endpoint has left the pool."""
        self._index.forget(endpoint.row)

    def _settle(self) -> None:
        """Take up capacities that engines have reported since, and endpoints that are new."""
        columns = self._pool.columns
        endpoints = self._pool.endpoints
        if columns.capacity_changes == self._capacity_changes and endpoints is self._seen:
            return
        self._capacity_changes, self._seen = columns.capacity_changes, endpoints
        parameters, index = self.parameters, self._index
        if parameters.auto_tune:
            index.set_block_size(block_size_for(columns.block_size[self._pool.rows], parameters.block_size_tokens))
        for endpoint in endpoints:
            row = endpoint.row
            size, blocks = float(columns.block_size[row]), float(columns.kv_blocks[row])
            offloaded = int(columns.offload_tokens[row] if parameters.auto_tune else 0)
            offloaded = offloaded or parameters.offload_tokens_per_server
            if parameters.auto_tune and size > 0 and blocks > 0:
                index.set_capacity(row, engine_capacity(size, blocks, offloaded))
            else:
                device = parameters.lru_capacity_per_server * parameters.block_size_tokens
                index.set_capacity(row, device + offloaded)
