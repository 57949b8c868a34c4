"""``mm-embeddings-cache-producer``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
from pydantic import Field

from signalbox.pool import Endpoint, Floats, Rows
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.parameters import Positive
from signalbox.scheduling.plugin import Parameters, Plugin, ProducerPlugin

ITEM_MB = 2
"""Mebibytes that one encoded item is taken to need."""


class MultimodalCacheParameters(Parameters):
    """Parameters of mm-embeddings-cache-producer."""

    cache_size_in_mb_per_server: Positive = Field(default=4096, alias="cacheSizeInMBPerServer")
    """Size of each server's encoder cache in MiB; an item is taken to need 2."""


class MultimodalCacheProducer(ProducerPlugin[MultimodalCacheParameters]):
    """Which endpoints have encoded a prompt's images, videos and sounds before.

    Remembers for each endpoint the last ``cacheSizeInMBPerServer / 2`` items it was sent, by a hash of the URL or of
    the data themselves. They go to who encodes: the encode servers of the request if it has any, else its prefill
    server, else the one it is sent to. Source: mm-embeddings-cache-producer of llm-d.
    """

    type = "mm-embeddings-cache-producer"
    use = "mm-embeddings-cache-scorer asks it; list it to give the size of the cache."
    reads_media_items = True

    def __init__(self, parameters: MultimodalCacheParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self.capacity = max(1, int(self.parameters.cache_size_in_mb_per_server / ITEM_MB))
        """Items remembered of each endpoint."""
        self._held: dict[int, OrderedDict[int, None]] = {}

    def held(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the part of the prompt's items that each of ``rows`` holds, 0 to 1; 0 for a prompt without any."""
        items = cycle.media
        if not items:
            return np.zeros(len(rows))
        found = [self._count(row, items) for row in rows.tolist()]
        return np.array(found, float) / len(items)

    def routed(self, cycle: Cycle, decision: Decision) -> None:
        """Remember the items where they will be encoded."""
        if not cycle.media:
            return
        encoding = _encoding(decision)
        cycle.memo[self.name] = {row: self._remember(row, cycle.media) for row in encoding}

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> None:
        """The items are encoded where the request went, if they were to be at its first choice."""
        added = cycle.memo.get(self.name, {}).get(decision.rows[0])
        if added is None or decision.rows[0] not in _encoding(decision):
            return
        held = self._held.get(decision.rows[0], OrderedDict())
        for item in added:
            held.pop(item, None)
        self._remember(row, cycle.media)

    def left(self, endpoint: Endpoint) -> None:
        """Forget what the endpoint held."""
        self._held.pop(endpoint.row, None)

    def adopt(self, previous: Plugin[MultimodalCacheParameters]) -> None:
        """Keep what endpoints hold."""
        assert isinstance(previous, MultimodalCacheProducer)
        self._held = previous._held

    def _count(self, row: int, items: Iterable[int]) -> int:
        held = self._held.get(row)
        return 0 if held is None else sum([item in held for item in items])

    def _remember(self, row: int, items: Iterable[int]) -> list[int]:
        """Put the items last in an endpoint's line to be forgotten; return those it did not hold."""
        held = self._held.setdefault(row, OrderedDict())
        added = []
        for item in items:
            if item not in held:
                added.append(item)
                held[item] = None
            held.move_to_end(item)
        while len(held) > self.capacity:
            held.popitem(last=False)
        return added


def _encoding(decision: Decision) -> list[int]:
    """Return the rows that encode a prompt's media."""
    encoders = [row for stage in decision.promptless for row in decision.stages.get(stage, ())]
    if encoders:
        return encoders
    stages = [row for rows in decision.stages.values() for row in rows]
    return stages or [decision.rows[0]]
