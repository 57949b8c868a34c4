"""``concurrency-detector``."""

from __future__ import annotations

from typing import Literal

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import NotNegative, Positive
from signalbox.scheduling.plugin import DetectorPlugin, Parameters
from signalbox.scheduling.saturation.partitions import Partitions


class ConcurrencyDetectorParameters(Parameters):
    """Parameters of concurrency-detector."""

    concurrency_mode: Literal["requests", "tokens", "hybrid"] = "requests"
    """What is counted; hybrid takes the worse of the two for each endpoint."""
    max_concurrency: Positive = 100.0
    """Requests in flight at which an endpoint is full."""
    max_token_concurrency: Positive = 1000000.0
    """Tokens in flight at which an endpoint is full."""
    headroom: NotNegative = 0.0
    """How far beyond full an endpoint may be before it is dropped from a profile, as a fraction."""
    in_flight_load_producer_name: str = ""
    """The inflight-load-producer to read. There is one account of what is in flight, which every name means."""


class ConcurrencyDetector(DetectorPlugin[ConcurrencyDetectorParameters]):
    """The pool is as full as what we have in flight to it; needs no metrics.

    Formula: requests ``sum(in flight) / (n * maxConcurrency)``, tokens likewise, hybrid the mean of each endpoint's
    larger one; the larger of prefill servers and others where a pool has both. In a profile: keeps what is at most
    ``1 + headroom``, and all where none is. Source: concurrency-detector of the Gateway API Inference Extension and
    llm-d.
    """

    type = "concurrency-detector"
    use = "Servers whose capacity in requests is known; queues kept out of the servers."

    def __init__(self, parameters: ConcurrencyDetectorParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._partitions = Partitions()

    def saturation(self, cycle: Cycle, rows: Rows) -> float:
        """Return the mean of the endpoints' values."""
        return self._partitions.fullest(cycle, rows, lambda part: float(self._each(cycle, part).mean()))

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows within limits and headroom, or all."""
        kept: Rows = rows[self._each(cycle, rows) <= 1.0 + self.parameters.headroom + 1e-9]
        return kept if len(kept) else rows

    def _each(self, cycle: Cycle, rows: Rows) -> Floats:
        limits = self.parameters
        requests: Floats = cycle.columns.requests(rows) / limits.max_concurrency
        if limits.concurrency_mode == "requests":
            return requests
        tokens: Floats = cycle.columns.believed(cycle.columns.inflight_tokens, rows) / limits.max_token_concurrency
        return tokens if limits.concurrency_mode == "tokens" else np.maximum(requests, tokens)
