"""The precise prefix index: which endpoint's cache holds which block, as the engines themselves report it.

Engines name blocks by hashes of their own. The index reads the token ids in their reports, names the same blocks as it
names those of a request (`signalbox.scheduling.prefix.precise_keys`), and remembers for each endpoint which of its
engine's hashes stands for which. What an endpoint holds is then exactly what its engine said and did not take back;
an index that is full, or a report whose beginning was missed, only ever knows less than there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import xxhash

from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.pool import Floats
from signalbox.scheduling.prefix.hashing import Chain
from signalbox.scheduling.prefix.precise_events import Cleared, Event, Removed, Stored
from signalbox.scheduling.prefix.precise_holding import Holding, Place
from signalbox.scheduling.prefix.precise_keys import block_key, joined, root_key
from signalbox.scheduling.prefix.precise_sets import RowSets
from signalbox.scheduling.prefix.precise_speculation import Speculation
from signalbox.scheduling.prefix.precise_tiers import Tier, add_runs, add_weighted_runs

DEFAULT_WEIGHTS: Mapping[str, float] = {"gpu": 1.0, "cpu": 0.8}
"""What a block counts by the memory it lies in."""

DEFAULT_SIZE = 4_000_000
"""Engine's blocks on all endpoints together: 128 endpoints of 30,000. About 150 bytes each."""

BLOCK_BYTES = 120
"""Of an engine's block at one endpoint, beside the sets: its hash, its key and their place in a dictionary."""

_ADAPTERS = 10_000  # names kept; beyond them an adapter's requests match nothing


class Tally(msgspec.Struct):
    """What came of the reports so far, in the engines' blocks."""

    stored: int = 0
    removed: int = 0
    cleared: int = 0
    """Reports that nothing is cached any more."""
    orphaned: int = 0
    """Not taken in since the block before them is not known."""
    unaligned: int = 0
    """Not taken in since neither block size, the engine's and the index's, is a multiple of the other."""
    overflowed: int = 0
    """Not taken in since the index is full."""


class PreciseIndex:
    """What engines hold, by row. For one thread."""

    def __init__(
        self, block_size: int = 16, weights: Mapping[str, float] = DEFAULT_WEIGHTS, size: int = DEFAULT_SIZE
    ) -> None:
        """``block_size`` in tokens, of the index's own blocks; ``weights`` by medium, what is stored in another is not
        looked at; ``size`` bounds the engines' blocks on all endpoints together."""
        if block_size < 1 or size < 1:
            raise ValueError(f"block_size {block_size}, size {size}: both must be at least 1")
        self.block_size = block_size
        self._step = block_size * BYTES_PER_TOKEN
        ranked = sorted(weights.items(), key=lambda item: -item[1])
        self._tiers = {medium: Tier(weight, RowSets(), {}) for medium, weight in ranked}
        self._ranked = tuple(self._tiers.values())
        self._size = size
        self._entries = 0
        self.speculation = Speculation()
        """What is expected of endpoints, beside what they report."""
        self.adapters: set[str] = set()
        """Names of LoRA adapters that engines have reported blocks of."""
        self.tally = Tally()

    # -- what is known ------------------------------------------------------------------------------------------

    @property
    def entries(self) -> int:
        """The engines' blocks on all endpoints together."""
        return self._entries

    @property
    def usable(self) -> bool:
        """Whether it can be expected to know anything: not where all that engines report is of a size that does not
        fit its own."""
        return bool(self._entries) or not self.tally.unaligned

    @property
    def blocks(self) -> int:
        """Distinct blocks of the index, each counted once for every medium."""
        return sum([len(tier.sets) for tier in self._ranked])

    @property
    def memory_bytes(self) -> int:
        """Estimated size."""
        return sum([tier.sets.memory_bytes for tier in self._ranked]) + self._entries * BLOCK_BYTES

    def held(self, row: int, medium: str = "gpu") -> set[int]:
        """Return the keys of the blocks an endpoint holds in one medium. Takes as long as there are blocks."""
        tier = self._tiers.get(medium)
        holding = None if tier is None else tier.holdings.get(row)
        return set() if holding is None else holding.completed()

    def reported(self, row: int) -> int:
        """Return how many of its engine's blocks an endpoint holds, each counted once for every medium."""
        return sum([len(tier.holdings[row]) for tier in self._ranked if row in tier.holdings])

    def match(self, chain: Chain, size: int) -> Floats:
        """Return for each row from 0 to ``size`` - 1 how many leading blocks of ``chain`` it holds without a gap, each
        weighted by the best medium it lies in."""
        blocks: Floats = np.zeros(size)
        if not chain:
            return blocks
        top, *lower = [tier for tier in self._ranked if len(tier.sets)] or [self._ranked[0]]
        if not lower and not len(self.speculation) and top.weight == 1.0:
            add_runs(blocks, top.sets, chain)
        else:
            add_weighted_runs(blocks, self._ranked, self.speculation, chain)
        return blocks

    # -- what engines say ---------------------------------------------------------------------------------------

    def apply(self, row: int, event: Event) -> None:
        """Take in what the engine of ``row`` reports. Takes about a microsecond for each block."""
        if isinstance(event, Stored):
            self._store(row, event)
        elif isinstance(event, Removed):
            self._remove(row, event)
        else:
            assert isinstance(event, Cleared)
            self.tally.cleared += 1
            self._drop(row)

    def forget(self, row: int) -> None:
        """The endpoint is gone, or nothing is known of it any more."""
        self.speculation.forget(row)
        self._drop(row)

    def _drop(self, row: int) -> None:
        bit = 1 << row
        for tier in self._ranked:
            holding = tier.holdings.pop(row, None)
            if holding is not None:
                self._entries -= len(holding)
                for key in holding.completed():
                    tier.sets.drop(key, bit)

    def _remove(self, row: int, event: Removed) -> None:
        tier = self._tiers.get(event.medium)
        holding = None if tier is None else tier.holdings.get(row)
        if tier is None or holding is None:
            return
        before, bit = len(holding), 1 << row
        for block in event.hashes:
            for key in holding.remove(block):
                if holding.one_less(key):
                    tier.sets.drop(key, bit)
        gone = before - len(holding)
        self._entries -= gone
        self.tally.removed += gone

    def _store(self, row: int, event: Stored) -> None:
        tier = self._tiers.get(event.medium)
        if tier is None:
            return
        holding = tier.holdings.get(row)
        if holding is None:
            holding = tier.holdings[row] = Holding()
        before = len(holding)
        if not event.tokens:
            self._copy(row, tier, holding, event.hashes)
        else:
            if event.adapter and len(self.adapters) < _ADAPTERS:
                self.adapters.add(event.adapter)
            parent = self._parent(row, event)
            if parent is None:
                self.tally.orphaned += len(event.hashes)
            elif event.block_size == self.block_size and isinstance(parent, int):
                self._store_same(row, tier, holding, event, parent)
            elif event.block_size % self.block_size == 0 or self.block_size % event.block_size == 0:
                self._store_other(row, tier, holding, event, parent)
            else:
                self.tally.unaligned += len(event.hashes)
        self._entries += len(holding) - before
        self.tally.stored += len(holding) - before

    def _parent(self, row: int, event: Stored) -> int | Place | None:
        """Where the block before the first one lies; ``None`` where it is not known."""
        return self._place(row, event.parent) if event.parent is not None else root_key(event.adapter)

    def _place(self, row: int, block: int) -> int | Place | None:
        for tier in self._ranked:
            holding = tier.holdings.get(row)
            place = None if holding is None else holding.place(block)
            if place is not None:
                return place if isinstance(place, int) or place.rest else place.end
        return None

    def _store_same(self, row: int, tier: Tier, holding: Holding, event: Stored, parent: int) -> None:
        """An engine's block is one of ours."""
        step, tokens, extras = self._step, event.tokens, event.extras
        digest, add, bit = xxhash.xxh64_intdigest, tier.sets.add, 1 << row
        room = self._size - self._entries
        for number, (block, start) in enumerate(zip(event.hashes, range(0, len(tokens), step), strict=False)):
            known = holding.place(block)
            if known is not None:
                holding.again(block)
                parent = known if isinstance(known, int) else known.end
                continue
            if room <= 0:
                self.tally.overflowed += len(event.hashes) - number
                return
            room -= 1
            parent = digest(tokens[start : start + step], parent)
            if extras and number < len(extras) and extras[number]:
                parent = digest(joined(extras[number]), parent)
            holding.store(block, parent)
            if not add(parent, bit):
                holding.one_more(parent)

    def _store_other(self, row: int, tier: Tier, holding: Holding, event: Stored, parent: int | Place) -> None:
        """An engine's block is several of ours, or several are one."""
        theirs = event.block_size * BYTES_PER_TOKEN
        room = self._size - self._entries
        place = parent if isinstance(parent, Place) else Place((), parent)
        for number, (block, start) in enumerate(zip(event.hashes, range(0, len(event.tokens), theirs), strict=False)):
            known = holding.place(block)
            if known is not None:
                holding.again(block)
                place = known if isinstance(known, Place) else Place((), known)
                continue
            if room <= 0:
                self.tally.overflowed += len(event.hashes) - number
                return
            room -= 1
            extras = event.extras[number] if number < len(event.extras) else ()
            found = self._next(place, block, event.tokens[start : start + theirs], extras)
            if found is None:
                self.tally.unaligned += len(event.hashes) - number
                return
            place = found
            self._hold(row, tier, holding, block, place)

    def _next(self, before: Place, block: int, tokens: bytes, extras: Sequence[str]) -> Place | None:
        """Where an engine's block lies that follows another; ``None`` where it crosses a boundary of ours."""
        step = self._step
        if not before.rest and len(tokens) % step == 0:
            # Which of ours within it the extras belong to is not said. The salt is in a prompt's first one; blocks with
            # media are then never found, rather than for the wrong prompt.
            keys, end = [], before.end
            for start in range(0, len(tokens), step):
                end = block_key(tokens[start : start + step], end, b"" if start else joined(extras))
                keys.append(end)
            return Place(tuple(keys), end)
        text = before.rest + tokens
        together = before.extras.union(extras)
        parts = (*(before.parts if before.rest else ()), block)
        if len(text) < step:
            return Place((), before.end, text, together, parts)
        if len(text) > step:
            return None
        key = block_key(text, before.end, joined(together))
        return Place((key,), key, b"", frozenset(), parts)

    def _copy(self, row: int, tier: Tier, holding: Holding, blocks: Sequence[int]) -> None:
        """Blocks that are named without their tokens: they must be known from another medium."""
        room = self._size - self._entries
        for block in blocks:
            if holding.place(block) is not None:
                holding.again(block)
                continue
            place = next(
                (
                    found
                    for other in self._ranked
                    if row in other.holdings and (found := other.holdings[row].place(block)) is not None
                ),
                None,
            )
            if place is None:
                self.tally.orphaned += 1
            elif room <= 0:
                self.tally.overflowed += 1
            else:
                room -= 1
                self._hold(row, tier, holding, block, place)

    def _hold(self, row: int, tier: Tier, holding: Holding, block: int, place: int | Place) -> None:
        for key in holding.store(block, place):
            if not tier.sets.add(key, 1 << row):
                holding.one_more(key)
