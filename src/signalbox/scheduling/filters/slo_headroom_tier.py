"""``slo-headroom-tier-filter``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signalbox.pool import Rows
from signalbox.scheduling.asking import find_plugin
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Fraction
from signalbox.scheduling.plugin import FilterPlugin, Parameters, Plugin
from signalbox.scheduling.producers import PredictedLatencyProducer


class SLOHeadroomTierParameters(Parameters):
    """Parameters of slo-headroom-tier-filter."""

    epsilon_explore_neg: Fraction = 0.01
    """How often to keep those that are expected to miss an objective instead, so that one that recovers is noticed."""
    latency_prediction_info_producer_name: str = ""
    """The predicted-latency-producer to ask; empty for the first."""


class SLOHeadroomTierFilter(FilterPlugin[SLOHeadroomTierParameters]):
    """Keep endpoints that are expected to answer within the client's objectives.

    Keeps those whose headrooms, objective less prediction, are both at least 0; with the chance epsilonExploreNeg the
    others. Keeps all where nobody or everybody has headroom, and while nothing is predicted. Source:
    slo-headroom-tier-filter of llm-d.
    """

    type = "slo-headroom-tier-filter"
    use = "Before latency-scorer."
    preference = True

    def __init__(self, parameters: SLOHeadroomTierParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._producer: PredictedLatencyProducer | None = None

    def needs(self) -> tuple[str, ...]:
        """Return the type of the producer it asks."""
        return (PredictedLatencyProducer.type,)

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the producer."""
        name = self.parameters.latency_prediction_info_producer_name
        self._producer = find_plugin(plugins, PredictedLatencyProducer, name, "latencyPredictionInfoProducerName")

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows with headroom, now and then those without, or all."""
        predictions = None if len(rows) < 2 or self._producer is None else self._producer.predictions(cycle)
        if predictions is None:
            return rows
        meets = predictions.meets(rows)
        if meets.all() or not meets.any():
            return rows
        explore = self.parameters.epsilon_explore_neg
        kept: Rows = rows[~meets] if explore and cycle.rng.random() < explore else rows[meets]
        return kept
