"""``active-request-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows, few
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Fraction, NotNegative
from signalbox.scheduling.plugin import Parameters, ScorerPlugin


class ActiveRequestParameters(Parameters):
    """Parameters of active-request-scorer."""

    idle_threshold: NotNegative = 0.0
    """Requests in flight up to which an endpoint counts as idle."""
    max_busy_score: Fraction = 1.0
    """The most an endpoint can score that is not idle."""
    in_flight_load_producer_name: str = ""
    """The inflight-load-producer to read. There is one account of what is in flight, which every name means."""


class ActiveRequestScorer(ScorerPlugin[ActiveRequestParameters]):
    """Endpoints with fewer of our own requests in flight are better; needs no metrics from the servers.

    Formula: 1 where ``c <= idleThreshold``, else ``(max - c) / max * maxBusyScore``; c is the number of requests in
    flight through this picker, less those the server has not shown for a while, max the highest of the candidates.
    Source: active-request-scorer of llm-d.
    """

    type = "active-request-scorer"
    use = "Decode-bound work, servers whose metrics are slow or missing."

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 1 for idle endpoints, less the more is in flight."""
        counts: Floats = cycle.columns.requests(rows)
        high = counts.max()
        if high <= 0:
            return np.ones(len(rows))
        scores: Floats = (high - counts) * (self.parameters.max_busy_score / high)
        scores[counts <= self.parameters.idle_threshold] = 1.0
        return scores

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        counts = few.requests(cycle.columns, rows)
        high = max(counts)
        if high <= 0:
            return [1.0] * len(rows)
        share, idle = self.parameters.max_busy_score / high, self.parameters.idle_threshold
        return [1.0 if count <= idle else (high - count) * share for count in counts]
