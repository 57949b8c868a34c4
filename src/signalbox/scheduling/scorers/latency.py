"""``latency-scorer`` and its older name, ``predicted-latency-scorer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from signalbox.pool import Floats, Mask, Rows
from signalbox.scheduling.asking import find_plugin
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.latency import Predictions
from signalbox.scheduling.parameters import NotNegative
from signalbox.scheduling.plugin import Parameters, Plugin, ScorerPlugin
from signalbox.scheduling.producers import PredictedLatencyProducer

_LEAST = 0.01
"""The score of the last in a bucket: a weighted draw may still take it, and nobody outside of the bucket."""

_LEVEL = 1e-12  # seconds


class LatencyScorerParameters(Parameters):
    """Parameters of latency-scorer."""

    ttft_weight: NotNegative = 0.8
    """What the time to the first token counts."""
    tpot_weight: NotNegative = 0.2
    """What the time per output token counts. With both 0 the first token alone counts."""
    headroom_selection_strategy: Literal["least", "most"] = "least"
    """Among endpoints that are expected to keep the objectives: prefer those with the least headroom, which leaves the
    others free for who needs them, or those with the most."""
    composite_kv_weight: NotNegative = Field(default=1.0, alias="compositeKVWeight")
    """While nothing is predicted: what free KV cache counts."""
    composite_queue_weight: NotNegative = 1.0
    """While nothing is predicted: what a short queue counts."""
    composite_prefix_weight: NotNegative = 1.0
    """While nothing is predicted: what the matched part of the prompt counts. With all three 0, free KV cache alone
    counts."""
    latency_prediction_info_producer_name: str = ""
    """The predicted-latency-producer to ask; empty for the first."""
    prefix_match_info_producer_name: str = ""
    """The approx-prefix-cache-producer to read. There is one prefix index, which every name means."""


class LatencyScorer(ScorerPlugin[LatencyScorerParameters]):
    """Endpoints that are expected to answer as fast as the client asked for, and of those the ones that just do.

    Formula: headroom is objective less prediction, for the first token and per output token. Of these groups the first
    that is not empty is scored, everybody else gets 0: both headrooms at least 0; without a request in flight; headroom
    missing per output token alone; for the first token alone; for both. In the group each headroom's size is brought to
    0..1 between its least and its largest, ``c = ttftWeight * ttft + tpotWeight * tpot`` with weights that sum to 1,
    and the score is ``min(1, 1.01 - c)``, with strategy ``most`` and headrooms at least 0 ``min(1, 0.01 + c)``. A
    headroom that is the same everywhere does not count. A client without objectives gets the fastest endpoint, idle
    ones first. While nothing is predicted: the weighted mean of ``1 - kv_usage``, ``(longest - queue) / longest`` and
    the matched part of the prompt. Source: latency-scorer of llm-d; there, a client that states one objective misses
    the other.
    """

    type = "latency-scorer"
    use = "Clients that say how fast an answer must be. With slo-headroom-tier-filter and weighted-random-picker."
    reads_prefix = True

    def __init__(self, parameters: LatencyScorerParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._producer: PredictedLatencyProducer | None = None
        self._weights = _shares(self.parameters.ttft_weight, self.parameters.tpot_weight)

    def needs(self) -> tuple[str, ...]:
        """Return the type of the producer it asks."""
        return (PredictedLatencyProducer.type,)

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the producer."""
        name = self.parameters.latency_prediction_info_producer_name
        self._producer = find_plugin(plugins, PredictedLatencyProducer, name, "latencyPredictionInfoProducerName")

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the scores by headroom, or the composite ones."""
        predictions = None if self._producer is None else self._producer.predictions(cycle)
        if predictions is None:
            return self._composite(cycle, rows)
        group = self._group(cycle, rows, predictions)
        scores: Floats = np.zeros(len(rows))
        chosen: Rows = rows[group]
        distance = self._distance(predictions, chosen)
        if self.parameters.headroom_selection_strategy == "most" and predictions.meets(chosen[:1]).all():
            distance = 1.0 - distance
        scores[group] = np.minimum(1.0, 1.0 + _LEAST - distance)
        return scores

    def _group(self, cycle: Cycle, rows: Rows, predictions: Predictions) -> Mask:
        """Return who is scored."""
        late: Mask = predictions.ttft_headroom[rows] < 0.0
        slow: Mask = predictions.tpot_headroom[rows] < 0.0
        groups = (~late & ~slow, cycle.columns.requests(rows) == 0.0, slow & ~late, late & ~slow)
        return next((group for group in groups if group.any()), late & slow)

    def _distance(self, predictions: Predictions, rows: Rows) -> Floats:
        """Return how far each of ``rows`` is from the objectives, 0 for the nearest to 1."""
        first, answer = _spread(predictions.ttft_headroom[rows]), _spread(predictions.tpot_headroom[rows])
        if first is None and answer is None:
            return np.full(len(rows), 0.5)
        if first is None or answer is None:
            one = first if answer is None else answer
            assert one is not None
            return one
        by_first, by_answer = self._weights
        distance: Floats = by_first * first + by_answer * answer
        return distance

    def _composite(self, cycle: Cycle, rows: Rows) -> Floats:
        settings, columns = self.parameters, cycle.columns
        kv, queue = settings.composite_kv_weight, settings.composite_queue_weight
        prefix = settings.composite_prefix_weight
        total = kv + queue + prefix
        if total <= 0.0:
            kv = total = 1.0
        queues = columns.queue(rows)
        longest = float(queues.max())
        scores: Floats = kv * (1.0 - np.minimum(columns.kv(rows), 1.0))
        scores += queue * ((longest - queues) / longest if longest else 1.0)
        if cycle.prefix is not None:
            scores += prefix * cycle.prefix.ratio(rows)
        scores /= total
        return np.minimum(scores, 1.0)


class PredictedLatencyScorer(LatencyScorer):
    """The older name of latency-scorer.

    Everything is as there. Source: the Gateway API Inference Extension before 1.4.
    """

    type = "predicted-latency-scorer"
    use = "Configurations written for that name."


def _shares(one: float, other: float) -> tuple[float, float]:
    total = one + other
    return (one / total, other / total) if total > 0.0 else (1.0, 0.0)


def _spread(headroom: Floats) -> Floats | None:
    """Return sizes of headrooms brought to 0..1; ``None`` where all are the same."""
    size = np.abs(headroom)
    least = float(size.min())
    width = float(size.max()) - least
    if width <= _LEVEL:
        return None
    spread: Floats = (size - least) / width
    return spread
