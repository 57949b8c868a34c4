"""``token-load-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows, few
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Positive
from signalbox.scheduling.plugin import Parameters, ScorerPlugin


class TokenLoadParameters(Parameters):
    """Parameters of token-load-scorer."""

    queue_threshold_tokens: Positive = 4194304.0
    """Tokens from which the score is 0."""
    in_flight_load_producer_name: str = ""
    """The inflight-load-producer to read. There is one account of what is in flight, which every name means."""
    prefix_match_info_producer_name: str = ""
    """The approx-prefix-cache-producer to read. There is one prefix index, which every name means."""


class TokenLoadScorer(ScorerPlugin[TokenLoadParameters]):
    """Endpoints with less work in tokens are better, this request's own included.

    Formula: ``1 - min(inflight + uncached, T) / T``; inflight is what our requests there still cost: the prompt tokens
    of those without an answer yet and the expected answers of all. uncached is the tokens of this prompt that the
    endpoint would have to compute, T queueThresholdTokens. Source: token-load-scorer of llm-d.
    """

    type = "token-load-scorer"
    use = "Prefill-bound work, prompts of very different lengths."
    reads_prefix = True

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 1 for no tokens, down to 0 at the threshold."""
        tokens: Floats = cycle.columns.believed(cycle.columns.inflight_tokens, rows)
        tokens += cycle.prompt_tokens if cycle.prefix is None else cycle.prefix.uncached_tokens(rows)
        tokens *= -1.0 / self.parameters.queue_threshold_tokens
        tokens += 1.0
        np.maximum(tokens, 0.0, out=tokens)
        return np.minimum(tokens, 1.0, out=tokens)

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        inflight = few.believed(cycle.columns, cycle.columns.inflight_tokens, rows)
        prefix, share = cycle.prefix, -1.0 / self.parameters.queue_threshold_tokens
        own = [cycle.prompt_tokens] * len(rows) if prefix is None else prefix.uncached_tokens_few(rows)
        scores = [(sent + mine) * share + 1.0 for sent, mine in zip(inflight, own, strict=True)]
        return [min(max(score, 0.0), 1.0) for score in scores]
