"""The approximate prefix index: what was routed where, and so is probably still in that endpoint's cache."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np

from signalbox.pool import Floats
from signalbox.scheduling.framework import FEW
from signalbox.scheduling.prefix.hashing import DEFAULT_BLOCK_SIZE, Chain, PromptBlocks
from signalbox.scheduling.prefix.holders import Holders
from signalbox.scheduling.prefix.match import PrefixMatch
from signalbox.scheduling.prefix.residence import RUN_BYTES, Residence

DEFAULT_CAPACITY = 31_250 * 16
"""Tokens an endpoint is believed to hold until it says how many: an LRU of 31,250 engine blocks of 16."""

MAX_BLOCKS = 1_000_000
"""Blocks in the whole index: about 110 MB where prompts add ten blocks or more at a time, up to four times that where
they add one."""

_BLOCK_BYTES = 8
_FEW = 12  # bits; more are faster taken out of a set all at once


class Insertion(msgspec.Struct):
    """One prompt routed to one endpoint. Hand it to `PrefixIndex.give_back` if the endpoint never computed it."""

    row: int
    added: int
    """Blocks the endpoint was not believed to hold before."""
    steps: list[tuple[Chain, int]]
    """Each chain, as far as it was inserted, and the tick of its insertion; emptied when given back."""


def engine_capacity(block_size: float, kv_blocks: float, offload_tokens: int = 0) -> int:
    """Return how many tokens an endpoint can keep: ``kv_blocks`` of ``block_size`` tokens on the device and
    ``offload_tokens`` in other tiers. Where the engine reports no blocks (zero), `DEFAULT_CAPACITY` stands for them.
    """
    reported = int(block_size) * int(kv_blocks)
    return (reported if reported > 0 else DEFAULT_CAPACITY) + offload_tokens


def block_size_for(reported: Floats, untold: int = 0, least: int = DEFAULT_BLOCK_SIZE) -> int:
    """Return the block size in tokens for an index over endpoints that report these sizes, 0 where one reports none.

    An engine cannot use a part of its block, so the largest counts; ``untold`` where none reports any. ``least`` bounds
    the cost of a long prompt.
    """
    return max(least, int(reported.max(initial=0.0)) or untold)


class PrefixIndex:
    """Block hashes and the endpoints, by row, that are believed to hold them. Safe to call from one thread only."""

    def __init__(self, block_size: int = DEFAULT_BLOCK_SIZE, max_blocks: int = MAX_BLOCKS) -> None:
        """Raises ``ValueError`` when ``block_size`` (tokens) or ``max_blocks`` is not positive."""
        if block_size < 1 or max_blocks < 1:
            raise ValueError(f"block_size {block_size}, max_blocks {max_blocks}: both must be at least 1")
        self._block_size = block_size
        self._max_blocks = max_blocks
        self._holders = Holders()
        self._capacities: dict[int, int] = {}
        self._residences: dict[int, Residence] = {}
        self._held = 0
        self._tick = 0

    # -- what is known ------------------------------------------------------------------------------------------

    @property
    def block_size(self) -> int:
        """Tokens to a block."""
        return self._block_size

    @property
    def blocks(self) -> int:
        """Distinct blocks that some endpoint is believed to hold."""
        return len(self._holders)

    @property
    def memory_bytes(self) -> int:
        """Estimated size of the index. Costs some microseconds and grows with the number of rows."""
        runs = sum([residence.runs for residence in self._residences.values()])
        return self._holders.memory_bytes + runs * RUN_BYTES + self._held * _BLOCK_BYTES

    def held(self, row: int) -> int:
        """Return how many blocks the endpoint of ``row`` is believed to hold."""
        residence = self._residences.get(row)
        return 0 if residence is None else residence.blocks

    def match(self, prompt: PromptBlocks, size: int) -> PrefixMatch:
        """Return how much of ``prompt`` each row from 0 to ``size`` - 1 is believed to hold; several sequences add up.

        Raises ``ValueError`` when the prompt was cut into blocks of another size.
        """
        self._check(prompt)
        everyone = (1 << size) - 1
        blocks: Floats
        if size <= FEW:
            held = [0.0] * size
            for chain in prompt.chains:
                farther = 0
                for end, rows in reversed(self._holders.levels(chain)):
                    left = rows & ~farther & everyone
                    farther = rows
                    for place in _places(left):
                        held[place] += end
            blocks = np.array(held)
        else:
            blocks = np.zeros(size)
            for chain in prompt.chains:
                farther = 0
                for end, rows in reversed(self._holders.levels(chain)):
                    add_to(blocks, rows & ~farther & everyone, end)
                    farther = rows
        return PrefixMatch(blocks, prompt.total, prompt.block_size, prompt.tokens)

    # -- what happens -------------------------------------------------------------------------------------------

    def insert(self, prompt: PromptBlocks, row: int) -> Insertion:
        """Believe from now on that the endpoint of ``row`` holds ``prompt``, and that it was just used.

        What no longer fits its capacity is evicted: least recently used first, and of every chain the tail before
        the head. Of a prompt that is longer than the capacity only the beginning is inserted. Raises ``ValueError``
        when the prompt was cut into blocks of another size.
        """
        self._check(prompt)
        residence = self._residences.get(row)
        if residence is None:
            residence = self._residences[row] = Residence(self._blocks_in(self._capacities.get(row, DEFAULT_CAPACITY)))
        insertion = Insertion(row, 0, [])
        limit = min(residence.capacity, self._max_blocks)
        bit = 1 << row
        for chain in prompt.chains:
            if len(chain) > limit:
                chain = chain[:limit]
            self._tick += 1
            known = residence.use(chain, self._tick)
            added = len(chain) - known
            if added:
                self._held += added
                self._holders.add(chain, known, bit)
                if residence.blocks > residence.capacity:
                    self._evict(row, residence.blocks - residence.capacity)
                if len(self._holders) > self._max_blocks:
                    self._relieve(row)
            insertion.added += added
            insertion.steps.append((chain, self._tick))
        return insertion

    def give_back(self, insertion: Insertion) -> None:
        """Undo an insertion whose request was refused or failed: its blocks go unless another request used them.

        Blocks that several requests used go with the last of them that is given back. Giving back twice, or after the
        endpoint was forgotten, does nothing.
        """
        steps, insertion.steps = insertion.steps, []
        residence = self._residences.get(insertion.row)
        if residence is not None:
            bit = 1 << insertion.row
            for chain, tick in steps:
                for blocks in residence.take_back(chain, tick):
                    self._drop(blocks, bit)

    def set_capacity(self, row: int, tokens: int) -> None:
        """Set how many tokens the endpoint of ``row`` can keep; what no longer fits is evicted at once."""
        if self._capacities.get(row) == tokens:
            return
        self._capacities[row] = tokens
        residence = self._residences.get(row)
        if residence is not None:
            residence.capacity = self._blocks_in(tokens)
            self._evict(row, residence.blocks - residence.capacity)

    def set_block_size(self, tokens: int) -> None:
        """Cut prompts into blocks of another size from now on. Everything believed so far is forgotten.

        Raises ``ValueError`` when ``tokens`` is not positive.
        """
        if tokens < 1:
            raise ValueError(f"block_size {tokens}: a block needs at least 1 token")
        if tokens != self._block_size:
            self._block_size = tokens
            self._holders = Holders()
            self._residences = {}
            self._held = 0

    def forget(self, row: int) -> None:
        """The endpoint of ``row`` has gone, and its cache and capacity with it. The row may be used again at once."""
        self._capacities.pop(row, None)
        residence = self._residences.pop(row, None)
        if residence is not None:
            bit = 1 << row
            for blocks in residence.all():
                self._drop(blocks, bit)

    # -- room ---------------------------------------------------------------------------------------------------

    def _blocks_in(self, tokens: int) -> int:
        return max(tokens, 0) // self._block_size

    def _check(self, prompt: PromptBlocks) -> None:
        if prompt.block_size != self._block_size:
            raise ValueError(
                f"PromptBlocks.block_size: {prompt.block_size} tokens, but the index has blocks of {self._block_size};"
                " hash prompts with the index's block_size"
            )

    def _drop(self, blocks: Sequence[int], bit: int) -> None:
        self._held -= len(blocks)
        self._holders.drop(blocks, bit)

    def _evict(self, row: int, count: int) -> None:
        bit = 1 << row
        for blocks in self._residences[row].evict(count):
            self._drop(blocks, bit)

    def _relieve(self, row: int) -> None:
        """Evict from one endpoint after the other until the whole index fits; from ``row`` only if no other has any."""
        while (excess := len(self._holders) - self._max_blocks) > 0:
            victim, residence = next(iter(self._residences.items()))
            self._residences[victim] = self._residences.pop(victim)  # to the end: the next one's turn
            if victim != row or self._held == residence.blocks:
                self._evict(victim, excess)


@lru_cache(maxsize=1024)
def _places(rows: int) -> tuple[int, ...]:
    """Return which bits are set in ``rows``."""
    return tuple([place for place in range(rows.bit_length()) if rows >> place & 1])


def add_to(blocks: Floats, rows: int, count: float) -> None:
    """Add ``count`` to the element of ``blocks`` of every bit that is set in ``rows``."""
    if rows.bit_count() <= _FEW:
        while rows:
            lowest = rows & -rows
            blocks[lowest.bit_length() - 1] += count
            rows ^= lowest
    else:
        packed = np.frombuffer(rows.to_bytes((len(blocks) + 7) // 8, "little"), np.uint8)
        blocks[np.unpackbits(packed, count=len(blocks), bitorder="little").view(np.bool_)] += count
