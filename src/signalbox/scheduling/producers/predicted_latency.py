"""``predicted-latency-producer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from signalbox.pool import Endpoint, Floats
from signalbox.resources.strict import Boolean
from signalbox.scheduling.derived import mask_column
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.latency import Lines, Predictions, Promises, headroom
from signalbox.scheduling.least_cost import Strangers
from signalbox.scheduling.observation import Finished, FirstToken
from signalbox.scheduling.parameters import Count, Duration, Positive
from signalbox.scheduling.plugin import Parameters, Plugin, ProducerPlugin

_SIDECAR = "predictions are learned in the picker; there is no sidecar to train or to ask"
_PROMPT_GAIN = 0.02
_NO_ROLE = ""


class PredictedLatencyParameters(Parameters):
    """Parameters of predicted-latency-producer."""

    ineffective: ClassVar[Mapping[str, str]] = {
        "sampling_mean": _SIDECAR,
        "max_decode_token_samples_for_prediction": _SIDECAR,
        "context_ttl": "what is kept of a request ends with it",
        "use_encoder_cache_features": "encoder caches do not enter the predictions",
    }

    slo_buffer_factor: Positive = 1.0
    """What objectives per output token are multiplied by; below 1 for a margin."""
    streaming_mode: Boolean = False
    """Whether answers are streamed. If so, times to first tokens and per output token are predicted. If not, the time
    until an answer is complete takes the place of that to the first token, and nothing is predicted per token."""
    endpoint_role_label: str = _NO_ROLE
    """Label that says ``prefill`` on endpoints without output tokens: no objective per token counts there."""
    predict_in_produce: Boolean = True
    """Whether to predict, rather than to learn alone."""
    sampling_mean: Positive = 1000.0
    """Of the reference's sidecar; no effect."""
    max_decode_token_samples_for_prediction: Count = 0
    """Of the reference's sidecar; no effect."""
    context_ttl: Duration = Field(default=300.0, alias="contextTTL")
    """How long the reference keeps what belongs to a request, 5 minutes (300 s); no effect."""
    use_encoder_cache_features: Boolean = False
    """Of the reference's sidecar; no effect."""
    prefix_match_info_producer_name: str = ""
    """The approx-prefix-cache-producer to read. There is one prefix index, which every name means."""


class PredictedLatencyProducer(ProducerPlugin[PredictedLatencyParameters]):
    """How fast each endpoint would answer this request, learned from the answers it gave.

    Formula: seconds to the first token are ``offset + slope * (uncached + ahead)``, with the prompt's tokens that the
    endpoint does not hold and those of earlier requests that it computes before; seconds per output token are ``offset
    + slope * decoding``, with the requests past their first token there. Each endpoint has two lines of its own, fitted
    by weighted least squares to its latest answers and, with little weight, to those of the pool. Nothing is predicted
    before 20 answers were seen; learned lines are kept on a reload. The headroom is what is left up to the client's
    objective (``x-llm-d-slo-ttft-ms``, ``x-llm-d-slo-tpot-ms``); that per token also to the objectives of requests in
    progress there. Source: the figures it gives are those of predicted-latency-producer of llm-d, which asks trained
    models beside the picker; the formulas are ours, see docs/predicted-latency.md.
    """

    type = "predicted-latency-producer"
    use = "Answers within stated times: latency-scorer, slo-headroom-tier-filter and latency-slo-admitter ask it."
    reads_prefix = True

    def __init__(self, parameters: PredictedLatencyParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._first = Lines()
        self._paces = Lines()
        self._promises = Promises()
        self._strangers = Strangers()
        self._prompt = 1024.0  # mean of what prompts left to compute, in tokens
        self._rows = np.arange(8)
        label = self.parameters.endpoint_role_label
        self._prefills = None if label == _NO_ROLE else mask_column(lambda endpoint: _prefills(endpoint, label))

    def predictions(self, cycle: Cycle) -> Predictions | None:
        """Return what is expected of every endpoint for this request; ``None`` while too little was seen."""
        known = cycle.predictions
        if known is not None and known.source == self.name and known.at == cycle.now:
            return known
        if not self._first.known or not self.parameters.predict_in_produce:
            return None
        tokens, decoding = self._load(cycle)
        ttft = self._first.expect(tokens)
        streams = self.parameters.streaming_mode and self._paces.known
        tpot = self._paces.expect(decoding) if streams else None
        first = headroom(ttft, cycle.slo_ttft, others=cycle.slo_tpot is not None)
        cycle.predictions = Predictions(self.name, cycle.now, ttft, tpot, first, self._tpot_headroom(cycle, tpot))
        return cycle.predictions

    def _load(self, cycle: Cycle) -> tuple[Floats, Floats]:
        """Return the prompt tokens before this request's first token and the requests decoded beside it, by row."""
        columns, prefix = cycle.columns, cycle.prefix
        if len(self._rows) != columns.size:
            self._rows = np.arange(columns.size)
        rows = self._rows
        tokens = columns.believed(columns.prefill_tokens, rows)
        tokens += float(cycle.prompt_tokens) if prefix is None else prefix.uncached_tokens(rows)
        decoding = columns.believed(columns.decoding, rows)
        others = self._strangers.of(columns, rows, cycle.now)
        if others is not None:
            tokens += others[0] * self._prompt
            decoding += others[1]
        return np.maximum(tokens, 0.0), np.maximum(decoding, 0.0)

    def _tpot_headroom(self, cycle: Cycle, tpot: Floats | None) -> Floats:
        size = cycle.columns.size
        if tpot is None:
            return np.zeros(size)
        objective: Floats | float | None = cycle.slo_tpot
        promised = self._promises.tightest(size)
        if promised is not None and objective is not None:
            objective = np.minimum(promised, objective)
        if objective is not None:
            objective = objective * self.parameters.slo_buffer_factor
        left = headroom(tpot, objective, others=cycle.slo_ttft is not None)
        if self._prefills is not None:
            left[self._prefills.of(cycle)] = 0.0
        return left

    def routed(self, cycle: Cycle, decision: Decision) -> None:
        """Remember the client's objective for as long as its request is in progress."""
        self._promises.give(decision.rows[0], cycle.slo_tpot)

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> None:
        """The objective goes where the request went."""
        self._promises.end(decision.rows[0], cycle.slo_tpot)
        self._promises.give(row, cycle.slo_tpot)

    def first_token(self, observation: FirstToken) -> None:
        """Learn from a first token."""
        uncached = max(observation.prompt_tokens - observation.cached_tokens, 0.0)
        self._prompt += _PROMPT_GAIN * (uncached - self._prompt)
        if self.parameters.streaming_mode:
            self._first.observe(observation.endpoint.row, uncached + observation.ahead, observation.seconds)

    def finished(self, observation: Finished) -> None:
        """Learn from a complete answer."""
        row, tokens, began = observation.endpoint.row, observation.output_tokens, observation.first_token_seconds
        self._promises.end(row, observation.slo_tpot)
        if not observation.complete or observation.moved:
            return
        if not self.parameters.streaming_mode:
            uncached = max(observation.prompt_tokens - (observation.cached_tokens or 0.0), 0.0)
            self._first.observe(row, uncached + observation.ahead, observation.seconds)
        elif tokens is not None and tokens > 1 and began is not None:
            self._paces.observe(row, observation.decoding, (observation.seconds - began) / (tokens - 1))

    def left(self, endpoint: Endpoint) -> None:
        """Forget what the endpoint was like."""
        self._first.forget(endpoint.row)
        self._paces.forget(endpoint.row)
        self._promises.forget(endpoint.row)

    def adopt(self, previous: Plugin[PredictedLatencyParameters]) -> None:
        """Keep everything learned."""
        assert isinstance(previous, PredictedLatencyProducer)
        self._first, self._paces, self._promises = previous._first, previous._paces, previous._promises
        self._prompt = previous._prompt


def _prefills(endpoint: Endpoint, label: str) -> bool:
    return endpoint.labels.get(label) == "prefill"
