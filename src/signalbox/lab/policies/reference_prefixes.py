"""The approximate prefix index of GIE v1.5 and llm-d, with the defects it has. Source: docs of
approx-prefix-cache-producer, and llm-d issues 1158 and 2661.

One map from a block's hash to the endpoints that have it, and for each endpoint a list of its blocks, least recently
used first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from signalbox.director.prefixes import Lookup
from signalbox.lab.stage import Stage, TracePrefixes
from signalbox.payloads import Request
from signalbox.pool import Endpoint
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters
from signalbox.scheduling.prefix import Insertion, PrefixMatch

_BLOCK = 64
"""Tokens: what the index raises any smaller block size to."""


@dataclass(frozen=True, slots=True)
class IndexDefects:
    """What is wrong with the index, each to be mended by itself."""

    four_times_capacity: bool = True
    """Capacity is the engine's number of blocks, of 16 tokens each, and a block of the index covers 64."""
    head_first: bool = True
    """Insertion makes the head of a prompt its oldest block, which is then the first to be evicted."""
    gaps: bool = True
    """An endpoint is credited with every block it has of those that anybody has without a gap, rather than with its own
    blocks up to its first gap."""


class ReferencePrefixes(TracePrefixes):
    """What was routed where, as the reference believes it.

    An endpoint's list is kept as the uses of its blocks in order, each with its time, and when each block was used
    last: a use that is not its block's last one is of the past. So a prompt is entered by two bulk operations.
    """

    def __init__(self, stage: Stage, parameters: PrefixIndexParameters, defects: IndexDefects | None = None) -> None:
        super().__init__(stage, parameters)
        self.defects = defects or IndexDefects()
        self._holders: dict[int, int] = {}
        """By block: one bit for the row of each endpoint that has it."""
        self._last: dict[int, dict[int, int]] = {}
        """By row: when each of its blocks was used last."""
        self._uses: dict[int, deque[tuple[int, Iterator[int]]]] = {}
        """By row: a time and the blocks used then that have not been looked at, the oldest first."""
        self._time = 0

    def look_up(self, request: Request, target: str) -> Lookup:
        """Cut the prompt and count each endpoint's blocks of it."""
        most = self.parameters.max_prefix_tokens_to_match
        blocks = self.cut(request, target, _BLOCK, most)
        counts = np.zeros(self.stage.pool.columns.size)
        held: Counter[int] = Counter()
        unbroken = -1
        for block in blocks.chains[0]:
            holders = self._holders.get(block)
            if not holders:
                break
            unbroken &= holders
            counted = holders if self.defects.gaps else unbroken
            if not counted:
                break
            held[counted] += 1
        for rows, count in held.items():
            for row in range(rows.bit_length()):
                if rows >> row & 1:
                    counts[row] += count
        return Lookup(blocks, PrefixMatch(counts, blocks.total, _BLOCK, blocks.tokens))

    def remember(self, lookup: Lookup, endpoint: Endpoint) -> Insertion | None:
        """Put the prompt's blocks to the end of the endpoint's list, and drop what is too many from its front."""
        row, chain = endpoint.row, lookup.blocks.chains[0]
        last = self._last.setdefault(row, {})
        uses = self._uses.setdefault(row, deque())
        self._time = time = self._time + 1
        bit, holders = 1 << row, self._holders
        for block in chain:
            if block not in last:
                holders[block] = holders.get(block, 0) | bit
        last.update(dict.fromkeys(chain, time))
        uses.append((time, iter(chain if self.defects.head_first else chain[::-1])))
        excess = len(last) - self._capacity(row)
        while excess > 0:
            then, oldest = uses[0]
            for block in oldest:
                if last.get(block) == then:
                    del last[block]
                    self._drop(block, bit)
                    excess -= 1
                    if not excess:
                        break
            else:
                uses.popleft()
        return None

    def give_back(self, insertion: Insertion) -> None:
        """The reference takes nothing back."""

    def forget(self, endpoint: Endpoint) -> None:
        """Its blocks go."""
        self._uses.pop(endpoint.row, None)
        for block in self._last.pop(endpoint.row, ()):
            self._drop(block, 1 << endpoint.row)

    def _capacity(self, row: int) -> int:
        columns = self.stage.pool.columns
        blocks = int(columns.kv_blocks[row]) or self.parameters.lru_capacity_per_server
        if self.defects.four_times_capacity:
            return blocks
        return max(1, blocks * int(columns.block_size[row] or 16) // _BLOCK)

    def _drop(self, block: int, bit: int) -> None:
        holders = self._holders
        left = holders[block] & ~bit
        if left:
            holders[block] = left
        else:
            del holders[block]
