"""The approximate prefix index of GIE v1.5 and llm-d, with the defects it has. Source: docs of
approx-prefix-cache-producer, and llm-d issues 1158 and 2661.

One map from a block's hash to the endpoints that have it, and for each endpoint a list of its blocks, least recently
used first.
"""

from __future__ import annotations

from collections import OrderedDict
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
    """What was routed where, as the reference believes it."""

    def __init__(self, stage: Stage, parameters: PrefixIndexParameters, defects: IndexDefects | None = None) -> None:
        super().__init__(stage, parameters)
        self.defects = defects or IndexDefects()
        self._holders: dict[int, set[int]] = {}
        self._recent: dict[int, OrderedDict[int, None]] = {}

    def look_up(self, request: Request, target: str) -> Lookup:
        """Cut the prompt and count each endpoint's blocks of it."""
        most = self.parameters.max_prefix_tokens_to_match
        blocks = self.cut(request, target, _BLOCK, most)
        columns = self.stage.pool.columns
        counts = np.zeros(columns.size)
        unbroken: set[int] | None = None
        for block in blocks.chains[0]:
            holders = self._holders.get(block)
            if not holders:
                break
            unbroken = set(holders) if unbroken is None else unbroken & holders
            counted = holders if self.defects.gaps else unbroken
            if not counted:
                break
            for row in counted:
                counts[row] += 1
        return Lookup(blocks, PrefixMatch(counts, blocks.total, _BLOCK, blocks.tokens))

    def remember(self, lookup: Lookup, endpoint: Endpoint) -> Insertion | None:
        """Put the prompt's blocks to the end of the endpoint's list, and drop what is too many from its front."""
        row, chain = endpoint.row, lookup.blocks.chains[0]
        recent = self._recent.setdefault(row, OrderedDict())
        for block in chain if self.defects.head_first else reversed(chain):
            recent[block] = None
            recent.move_to_end(block)
            self._holders.setdefault(block, set()).add(row)
        capacity = self._capacity(row)
        while len(recent) > capacity:
            self._drop(recent.popitem(last=False)[0], row)
        return None

    def give_back(self, insertion: Insertion) -> None:
        """The reference takes nothing back."""

    def forget(self, endpoint: Endpoint) -> None:
        """Its blocks go."""
        for block in self._recent.pop(endpoint.row, ()):
            self._drop(block, endpoint.row)

    def _capacity(self, row: int) -> int:
        columns = self.stage.pool.columns
        blocks = int(columns.kv_blocks[row]) or self.parameters.lru_capacity_per_server
        if self.defects.four_times_capacity:
            return blocks
        return max(1, blocks * int(columns.block_size[row] or 16) // _BLOCK)

    def _drop(self, block: int, row: int) -> None:
        holders = self._holders.get(block)
        if holders is not None:
            holders.discard(row)
            if not holders:
                del self._holders[block]
