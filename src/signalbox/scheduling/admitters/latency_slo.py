"""``latency-slo-admitter``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signalbox.pool import Rows
from signalbox.scheduling.asking import find_plugin
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import AdmitterPlugin, Parameters, Plugin
from signalbox.scheduling.producers import PredictedLatencyProducer

COLD = 0.02
"""KV usage below which an endpoint has hardly begun to work: what is expected of it says little."""


class LatencySLOParameters(Parameters):
    """Parameters of latency-slo-admitter."""

    latency_prediction_info_producer_name: str = ""
    """The predicted-latency-producer to ask; empty for the first."""


class LatencySLOAdmitter(AdmitterPlugin[LatencySLOParameters]):
    """Refuse sheddable requests that no endpoint is expected to answer within their objectives.

    Lets in where the client states no objective or nothing is predicted yet, and where some endpoint is expected to
    keep all objectives, reports no running request, or has less than 2 % of its KV cache in use. Source:
    latency-slo-admitter of llm-d.
    """

    type = "latency-slo-admitter"
    use = "Sheddable work that is of no use when it comes late."

    def __init__(self, parameters: LatencySLOParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._producer: PredictedLatencyProducer | None = None

    def needs(self) -> tuple[str, ...]:
        """Return the type of the producer it asks."""
        return (PredictedLatencyProducer.type,)

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the producer."""
        name = self.parameters.latency_prediction_info_producer_name
        self._producer = find_plugin(plugins, PredictedLatencyProducer, name, "latencyPredictionInfoProducerName")

    def admit(self, cycle: Cycle, rows: Rows) -> str | None:
        """Return ``None``, or by how much the nearest endpoint misses."""
        if self._producer is None or (cycle.slo_ttft is None and cycle.slo_tpot is None):
            return None
        columns = cycle.columns
        if ((columns.running[rows] == 0.0) | (columns.kv_usage[rows] < COLD)).any():
            return None
        predictions = self._producer.predictions(cycle)
        if predictions is None or predictions.meets(rows).any():
            return None
        expected = []
        if cycle.slo_ttft is not None:
            soonest = float(predictions.ttft[rows].min())
            expected.append(f"the first token in {soonest * 1000:.0f} ms of {cycle.slo_ttft * 1000:g}")
        if cycle.slo_tpot is not None and predictions.tpot is not None:
            fastest = float(predictions.tpot[rows].min())
            expected.append(f"{fastest * 1000:.1f} ms per output token of {cycle.slo_tpot * 1000:g}")
        return f"none of {len(rows)} endpoints is expected to answer in time: at best {' and '.join(expected)}"
