"""``topology-extractor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from signalbox.pool import Endpoint, Rows
from signalbox.resources.scalars import LabelKey
from signalbox.scheduling.derived import Derived
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import Parameters, ProducerPlugin

Level = Literal["host", "rack", "zone", "region"]
LEVELS: tuple[Level, ...] = ("host", "rack", "zone", "region")
"""From the closest to the widest."""

APART = len(LEVELS)
"""The number of the level of endpoints that have none in common."""

Places = NDArray[np.int64]


class TopologyParameters(Parameters):
    """Parameters of topology-extractor."""

    hostname: LabelKey = "kubernetes.io/hostname"
    """Label of a pod that names its host. Endpoints of one pod are on one host without it."""
    rack: LabelKey = "topology.kubernetes.io/rack"
    """Label that names its rack."""
    zone: LabelKey = "topology.kubernetes.io/zone"
    """Label that names its zone."""
    region: LabelKey = "topology.kubernetes.io/region"
    """Label that names its region."""


class TopologyExtractor(ProducerPlugin[TopologyParameters]):
    """How near endpoints are to one another, by the labels of their pods.

    Two endpoints are on the closest of the levels host, rack, zone and region for which both have the same label;
    whoever shares a level shares the wider ones. A missing label equals no other. Source: topology-extractor of llm-d,
    which reads ``spec.hostname`` of a pod where it has no label.
    """

    type = "topology-extractor"
    use = "topology-affinity-scorer and topology-affinity-filter ask it; list it to name other labels."

    def __init__(self, parameters: TopologyParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        settings = self.parameters
        self._labels = (settings.hostname, settings.rack, settings.zone, settings.region)
        self._places: Derived[Places] = Derived(self._number)

    def levels(self, cycle: Cycle, rows: Rows) -> Rows | None:
        """Return the level that each of ``rows`` shares with the endpoint chosen earlier for this request, 0 for the
        host to `APART` for none; ``None`` where none was, or nothing is known of its place."""
        peer = cycle.peer
        places = self._places.of(cycle)
        if peer is None or not (places[:, peer] >= 0).any():
            return None
        mine = places[:, rows]
        theirs = places[:, peer : peer + 1]
        shared = (mine == theirs) & (theirs >= 0)
        none = np.zeros((1, len(rows)), bool)
        closest: Rows = np.argmax(np.concatenate([shared, ~none]), axis=0)
        return closest

    def _number(self, endpoints: Mapping[int, Endpoint], size: int) -> Places:
        """Return a number for each place, shape ``(levels, rows)``; -1 where a label is missing."""
        places: Places = np.full((len(LEVELS), size), -1)
        for level, label in enumerate(self._labels):
            numbers: dict[str, int] = {}
            for row, endpoint in endpoints.items():
                value = endpoint.labels.get(label)
                if not value and level == 0:
                    value = f"\0{endpoint.namespace}/{endpoint.pod}"
                if value:
                    places[level, row] = numbers.setdefault(value, len(numbers))
        return places
