"""``precise-prefix-cache-scorer``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import ScorerPlugin
from signalbox.scheduling.producers.precise_prefix_cache import PrecisePrefixParameters


class PrecisePrefixCacheScorer(ScorerPlugin[PrecisePrefixParameters]):
    """precise-prefix-cache-producer and prefix-cache-scorer in one.

    Formula: ``match / total``, with match the blocks from the start of the prompt that the endpoint's engine reports,
    weighted by the memory they lie in; 0 for a prompt without blocks. Source: precise-prefix-cache-scorer of llm-d,
    which is deprecated there in favour of the two.
    """

    type = "precise-prefix-cache-scorer"
    use = "Configurations that name it; new ones list precise-prefix-cache-producer and prefix-cache-scorer."
    reads_prefix = True

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the matched part of the prompt for each endpoint."""
        prefix = cycle.prefix
        return np.zeros(len(rows)) if prefix is None else prefix.ratio(rows)

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        prefix = cycle.prefix
        if prefix is None or not prefix.total:
            return [0.0] * len(rows)
        held, total = prefix.blocks.tolist(), prefix.total
        return [held[row] / total for row in rows]
