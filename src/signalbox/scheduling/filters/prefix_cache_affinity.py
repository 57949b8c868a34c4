"""``prefix-cache-affinity-filter``."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from operator import not_
from typing import Any, Literal

from pydantic import Field

from signalbox.pool import Floats, Rows, few
from signalbox.scheduling.asking import find_plugin
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Fraction, NotNegative, Positive
from signalbox.scheduling.plugin import FilterPlugin, Parameters, Plugin
from signalbox.scheduling.producers import PredictedLatencyProducer


class PrefixCacheAffinityParameters(Parameters):
    """Parameters of prefix-cache-affinity-filter."""

    affinity_threshold: Fraction = 0.80
    """Matched part of the prompt from which an endpoint counts as holding it."""
    exploration_probability: Fraction = 0.0
    """How often to keep all endpoints all the same."""
    max_ttft_penalty_ms: NotNegative = Field(default=18000.0, alias="maxTTFTPenaltyMs")
    """Extra wait, in milliseconds, at which the others are let in; 0 for never."""
    ttft_source: Literal["prefillThroughput", "latencyPredictor"] = "prefillThroughput"
    """How the wait is estimated: by peakPrefillThroughput, or by what predicted-latency-producer expects. That one has
    no estimate at first; until then the other is taken."""
    peak_prefill_throughput: Positive = 15928.0
    """Tokens a second that an endpoint prefills."""
    prefix_match_info_producer_name: str = ""
    """The approx-prefix-cache-producer to read. There is one prefix index, which every name means."""
    in_flight_load_producer_name: str = ""
    """The inflight-load-producer to read. There is one account of what is in flight, which every name means."""
    latency_prediction_info_producer_name: str = ""
    """The predicted-latency-producer to ask; empty for the first."""


class PrefixCacheAffinityFilter(FilterPlugin[PrefixCacheAffinityParameters]):
    """Keep endpoints that hold most of the prompt, while waiting for them is worth it.

    Keeps those whose matched part of the prompt is at least affinityThreshold. Keeps all where none is, where the
    threshold is 0, with explorationProbability, and where ``min(ttft of those) - min(ttft of the others)`` exceeds
    maxTTFTPenaltyMs; ttft in milliseconds is ``1000 * tokens in flight / peakPrefillThroughput``, or what is predicted
    of each endpoint. Source: prefix-cache-affinity-filter of llm-d. Tokens in flight include those of answers here.
    """

    type = "prefix-cache-affinity-filter"
    use = "Before token-load-scorer or active-request-scorer, in place of prefix-cache-scorer."
    preference = True
    reads_prefix = True

    def __init__(self, parameters: PrefixCacheAffinityParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._producer: PredictedLatencyProducer | None = None

    def needs(self) -> tuple[str, ...]:
        """Return the type of the producer it asks, if it does."""
        return (PredictedLatencyProducer.type,) if self.parameters.ttft_source == "latencyPredictor" else ()

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the producer."""
        if self.parameters.ttft_source == "latencyPredictor":
            name = self.parameters.latency_prediction_info_producer_name
            self._producer = find_plugin(plugins, PredictedLatencyProducer, name, "latencyPredictionInfoProducerName")

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows that hold the prompt, or all."""
        settings = self.parameters
        if len(rows) < 2 or cycle.prefix is None or not settings.affinity_threshold:
            return rows
        holds = cycle.prefix.ratio(rows) >= settings.affinity_threshold
        sticky: Rows = rows[holds]
        if not len(sticky) or len(sticky) == len(rows):
            return rows
        explore = settings.exploration_probability
        if explore and cycle.rng.random() < explore:
            return rows
        if settings.max_ttft_penalty_ms:
            wait = self._wait(cycle, rows)
            extra = (wait[holds].min() - wait[~holds].min()) * 1000.0
            if extra > settings.max_ttft_penalty_ms:
                return rows
        return sticky

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        settings, prefix = self.parameters, cycle.prefix
        if len(rows) < 2 or prefix is None or not settings.affinity_threshold or not prefix.total:
            return rows
        blocks, total = prefix.blocks.tolist(), prefix.total
        holds = [blocks[row] / total >= settings.affinity_threshold for row in rows]
        sticky = list(compress(rows, holds))
        if not sticky or len(sticky) == len(rows):
            return rows
        explore = settings.exploration_probability
        if explore and cycle.rng.random() < explore:
            return rows
        if settings.max_ttft_penalty_ms:
            wait = self._wait_few(cycle, rows)
            extra = (min(compress(wait, holds)) - min(compress(wait, map(not_, holds)))) * 1000.0
            if extra > settings.max_ttft_penalty_ms:
                return rows
        return sticky

    def _wait(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the seconds to the first token on each of ``rows``."""
        predictions = None if self._producer is None else self._producer.predictions(cycle)
        if predictions is not None:
            return predictions.ttft[rows]
        tokens: Floats = cycle.columns.believed(cycle.columns.inflight_tokens, rows)
        tokens /= self.parameters.peak_prefill_throughput
        return tokens

    def _wait_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return `_wait`."""
        predictions = None if self._producer is None else self._producer.predictions(cycle)
        if predictions is not None:
            expected: list[float] = predictions.ttft[rows].tolist()
            return expected
        tokens = few.believed(cycle.columns, cycle.columns.inflight_tokens, rows)
        return [sent / self.parameters.peak_prefill_throughput for sent in tokens]
