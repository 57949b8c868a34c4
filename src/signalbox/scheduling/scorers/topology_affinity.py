"""``topology-affinity-scorer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.asking import find_plugin
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import Parameters, Plugin, ScorerPlugin
from signalbox.scheduling.producers import TopologyExtractor

_BY_LEVEL: Floats = np.array((1.0, 0.2, 0.05, 0.02, 0.0))
"""For one host, rack, zone and region, and for none in common."""


class TopologyAffinityScorerParameters(Parameters):
    """Parameters of topology-affinity-scorer."""

    topology_producer_name: str = ""
    """The topology-extractor to ask; empty for the first."""


class TopologyAffinityScorer(ScorerPlugin[TopologyAffinityScorerParameters]):
    """Endpoints nearer to the one that was chosen earlier for this request are better.

    Formula: 1 on the same host, 0.2 in the same rack, 0.05 in the same zone, 0.02 in the same region, else 0, as the
    bandwidth between them is. All 0 where nobody was chosen before: of a disaggregated request the stages after the
    first have somebody to be near to. Source: topology-affinity-scorer of llm-d.
    """

    type = "topology-affinity-scorer"
    use = "The prefill profile, where KV cache travels between servers."

    def __init__(self, parameters: TopologyAffinityScorerParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._extractor: TopologyExtractor | None = None

    def needs(self) -> tuple[str, ...]:
        """Return the type of the extractor it asks."""
        return (TopologyExtractor.type,)

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the extractor."""
        name = self.parameters.topology_producer_name
        self._extractor = find_plugin(plugins, TopologyExtractor, name, "topologyProducerName")

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the scores of the levels."""
        levels = None if self._extractor is None else self._extractor.levels(cycle, rows)
        return np.zeros(len(rows)) if levels is None else _BY_LEVEL[levels]

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return what `score` does."""
        if cycle.peer is None:
            return [0.0] * len(rows)
        scores: list[float] = self.score(cycle, np.array(rows, np.intp)).tolist()
        return scores
