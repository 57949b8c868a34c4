"""The kinds of memory that blocks lie in, and how much of a prompt each row holds over all of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from signalbox.pool import Floats
from signalbox.scheduling.prefix.hashing import Chain
from signalbox.scheduling.prefix.index import add_to
from signalbox.scheduling.prefix.precise_holding import Holding
from signalbox.scheduling.prefix.precise_sets import RowSets
from signalbox.scheduling.prefix.precise_speculation import Speculation


class Tier(msgspec.Struct, eq=False):
    """One kind of memory on all endpoints."""

    weight: float
    sets: RowSets
    holdings: dict[int, Holding]


def add_weighted_runs(blocks: Floats, ranked: Sequence[Tier], speculation: Speculation, chain: Chain) -> None:
    """Add to each row the weights of the leading blocks of ``chain`` that it holds, each in the best of its tiers;
    ``ranked`` are best first, and what is expected counts as the best."""
    alive = (1 << len(blocks)) - 1
    pending = [0] * (len(ranked) + 1)  # bits, by tier, of the blocks counted together
    count = 0
    for key in chain:
        found = speculation.rows(key) & alive
        bits = [found]
        for tier in ranked:
            here = tier.sets.get(key) & alive
            bits.append(here & ~found)
            found |= here
        if bits != pending:
            _count(blocks, ranked, pending, count)
            pending, count = bits, 0
        count += 1
        alive = found
        if not alive:
            break
    _count(blocks, ranked, pending, count)


def _count(blocks: Floats, ranked: Sequence[Tier], bits: Sequence[int], count: int) -> None:
    expected, *tiers = bits
    if count and expected:
        add_to(blocks, expected, count * ranked[0].weight)
    for tier, rows in zip(ranked, tiers, strict=True):
        if count and rows:
            add_to(blocks, rows, count * tier.weight)


def add_runs(blocks: Floats, sets: RowSets, chain: Chain) -> None:
    """Add to each row how many leading blocks of ``chain`` it holds, where there is one tier and nothing is expected:
    most blocks have the rows of the one before."""
    alive = (1 << len(blocks)) - 1
    last = -1
    for position, rows in enumerate(sets.along(chain)):
        if rows == last:
            continue
        if not position:
            alive &= rows
        else:
            lost = alive & ~rows
            if lost:
                add_to(blocks, lost, position)
                alive ^= lost
        if not alive:
            return
        last = rows
    add_to(blocks, alive, len(chain))
