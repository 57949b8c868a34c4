"""``prefix-cache-scorer``."""

from __future__ import annotations

import numpy as np
from pydantic import model_validator

from signalbox.pool import Floats, Rows
from signalbox.resources.strict import fault
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Fraction, Positive
from signalbox.scheduling.plugin import Parameters, ScorerPlugin

_MOVED = ("autoTune", "blockSize", "blockSizeTokens", "hashBlockSize", "maxPrefixBlocksToMatch", "lruCapacityPerServer")


class PrefixCacheParameters(Parameters):
    """Parameters of prefix-cache-scorer."""

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, value: object) -> object:
        if isinstance(value, dict):
            for name in _MOVED:
                if name in value:
                    raise fault(
                        "is no parameter of this scorer", "list it under type approx-prefix-cache-producer", name
                    )
        return value

    prefix_match_info_producer_name: str = ""
    """The approx-prefix-cache-producer to read. There is one prefix index here, which every name means."""
    match_length_weight: Fraction = 0.0
    """How much the length of the match counts, against its part of the prompt."""
    match_length_scale_tokens: Positive = 8192.0
    """Length of a match, in tokens, that counts in full."""


class PrefixCacheScorer(ScorerPlugin[PrefixCacheParameters]):
    """Endpoints that hold more of the prompt's beginning are better.

    Formula: ``(1 - w) * match / total + w * min(1, match * block_size / scale) ** 2``; match is the number of
    contiguous blocks from the start of the prompt, w is matchLengthWeight; 0 for a prompt without blocks. Source:
    prefix-cache-scorer of llm-d; the Gateway API Inference Extension has the first term only.
    """

    type = "prefix-cache-scorer"
    use = "Shared system prompts, conversations, agents. Part of the default profile, weight 3."
    reads_prefix = True

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the matched part of the prompt for each endpoint."""
        prefix = cycle.prefix
        if prefix is None or not prefix.total:
            return np.zeros(len(rows))
        ratio = prefix.ratio(rows)
        weight = self.parameters.match_length_weight
        if not weight:
            return ratio
        length: Floats = prefix.blocks[rows] * (prefix.block_size / self.parameters.match_length_scale_tokens)
        np.minimum(length, 1.0, out=length)
        return (1.0 - weight) * ratio + weight * length * length

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        prefix = cycle.prefix
        if prefix is None or not prefix.total:
            return [0.0] * len(rows)
        held, total, weight = prefix.blocks.tolist(), prefix.total, self.parameters.match_length_weight
        ratios = [held[row] / total for row in rows]
        if not weight:
            return ratios
        per_block = prefix.block_size / self.parameters.match_length_scale_tokens
        lengths = [min(held[row] * per_block, 1.0) for row in rows]
        return [
            (1.0 - weight) * ratio + weight * length * length for ratio, length in zip(ratios, lengths, strict=True)
        ]
