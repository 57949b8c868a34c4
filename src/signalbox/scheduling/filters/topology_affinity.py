"""``topology-affinity-filter``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from signalbox.pool import Rows
from signalbox.resources.strict import fault
from signalbox.scheduling.asking import find_plugin
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import FilterPlugin, Parameters, Plugin
from signalbox.scheduling.producers import TopologyExtractor
from signalbox.scheduling.producers.topology import LEVELS, Level


class TopologyAffinityFilterParameters(Parameters):
    """Parameters of topology-affinity-filter."""

    min_affinity: Level = "host"
    """The widest level to share: host, rack, zone or region."""
    topology_producer_name: str = ""
    """The topology-extractor to ask; empty for the first."""
    peer_topology_header: str = ""
    """The header in which another picker tells the place of the endpoint it chose; not supported."""

    @model_validator(mode="after")
    def _no_header(self) -> TopologyAffinityFilterParameters:
        if self.peer_topology_header:
            message = "is not supported: nobody here writes or reads the place of an endpoint in a header"
            raise fault(message, "remove it", "peerTopologyHeader")
        return self


class TopologyAffinityFilter(FilterPlugin[TopologyAffinityFilterParameters]):
    """Keep endpoints near to the one that was chosen earlier for this request.

    Keeps those that share the level minAffinity or a closer one with it. Keeps all where none does, where nobody was
    chosen before, and where that endpoint has no place. Source: topology-affinity-filter of llm-d.
    """

    type = "topology-affinity-filter"
    use = "The prefill profile, where KV cache should not leave a host or a rack if it can be helped."
    preference = True

    def __init__(self, parameters: TopologyAffinityFilterParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._extractor: TopologyExtractor | None = None
        self._widest = LEVELS.index(self.parameters.min_affinity)

    def needs(self) -> tuple[str, ...]:
        """Return the type of the extractor it asks."""
        return (TopologyExtractor.type,)

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the extractor."""
        name = self.parameters.topology_producer_name
        self._extractor = find_plugin(plugins, TopologyExtractor, name, "topologyProducerName")

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the near rows, or all."""
        levels = None if self._extractor is None else self._extractor.levels(cycle, rows)
        if levels is None:
            return rows
        kept: Rows = rows[levels <= self._widest]
        return kept if len(kept) else rows
