"""``mm-embeddings-cache-scorer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.asking import find_plugin
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import Parameters, Plugin, ScorerPlugin
from signalbox.scheduling.producers import MultimodalCacheProducer


class MultimodalCacheScorerParameters(Parameters):
    """Parameters of mm-embeddings-cache-scorer."""

    producer_name: str = ""
    """The mm-embeddings-cache-producer to ask; empty for the first."""


class MultimodalCacheScorer(ScorerPlugin[MultimodalCacheScorerParameters]):
    """Endpoints that have encoded more of the prompt's images, videos and sounds are better.

    Formula: items held over items in the prompt, each counted once; 0 for a prompt without any. Source:
    mm-embeddings-cache-scorer of llm-d, where an item counts by its tokens if a tokenizer service says how many it has.
    """

    type = "mm-embeddings-cache-scorer"
    use = "Encoders whose results are kept: the encode profile, or servers that encode themselves."
    reads_media_items = True

    def __init__(self, parameters: MultimodalCacheScorerParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._producer: MultimodalCacheProducer | None = None

    def needs(self) -> tuple[str, ...]:
        """Return the type of the producer it asks."""
        return (MultimodalCacheProducer.type,)

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the producer."""
        self._producer = find_plugin(plugins, MultimodalCacheProducer, self.parameters.producer_name, "producerName")

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the held part of the items."""
        return np.zeros(len(rows)) if self._producer is None else self._producer.held(cycle, rows)

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return what `score` does."""
        if not cycle.media or self._producer is None:
            return [0.0] * len(rows)
        scores: list[float] = self._producer.held(cycle, np.array(rows, np.intp)).tolist()
        return scores
