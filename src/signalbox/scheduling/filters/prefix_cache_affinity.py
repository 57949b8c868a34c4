"""``prefix-cache-affinity-filter``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Fraction, NotNegative, Positive
from signalbox.scheduling.plugin import FilterPlugin, Parameters


class PrefixCacheAffinityParameters(Parameters):
    """Parameters of prefix-cache-affinity-filter."""

    affinity_threshold: Fraction = 0.80
    """Matched part of the prompt from which an endpoint counts as holding it."""
    exploration_probability: Fraction = 0.0
    """How often to keep all endpoints all the same."""
    max_ttft_penalty_ms: NotNegative = Field(default=18000.0, alias="maxTTFTPenaltyMs")
    """Extra wait, in milliseconds, at which the others are let in; 0 for never."""
    ttft_source: Literal["prefillThroughput"] = "prefillThroughput"
    """How the wait is estimated. A latency predictor is a service of its own and not supported."""
    peak_prefill_throughput: Positive = 15928.0
    """Tokens a second that an endpoint prefills."""
    prefix_match_info_producer_name: str = ""
    """The approx-prefix-cache-producer to read. There is one prefix index, which every name means."""
    in_flight_load_producer_name: str = ""
    """The inflight-load-producer to read. There is one account of what is in flight, which every name means."""


class PrefixCacheAffinityFilter(FilterPlugin[PrefixCacheAffinityParameters]):
    """Keep endpoints that hold most of the prompt, while waiting for them is worth it.

    Keeps those whose matched part of the prompt is at least affinityThreshold. Keeps all where none is, where the
    threshold is 0, with explorationProbability, and where ``min(ttft of those) - min(ttft of the others)`` exceeds
    maxTTFTPenaltyMs; ttft in milliseconds is ``1000 * tokens in flight / peakPrefillThroughput``. Source:
    prefix-cache-affinity-filter of llm-d. Tokens in flight include those of answers here.
    """

    type = "prefix-cache-affinity-filter"
    use = "Before token-load-scorer or active-request-scorer, in place of prefix-cache-scorer."
    preference = True
    reads_prefix = True

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
            tokens: Floats = cycle.columns.believed(cycle.columns.inflight_tokens, rows)
            extra = (tokens[holds].min() - tokens[~holds].min()) * 1000.0 / settings.peak_prefill_throughput
            if extra > settings.max_ttft_penalty_ms:
                return rows
        return sticky
