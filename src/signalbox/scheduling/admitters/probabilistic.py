"""``probabilistic-admitter``."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import StrictFloat

from signalbox.pool import NEVER, Floats, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Bounds, Positive
from signalbox.scheduling.plugin import AdmitterPlugin, Parameters


class ProbabilisticParameters(Parameters):
    """Parameters of probabilistic-admitter."""

    queue_depth_threshold: Positive = 5.0
    """Waiting requests at which an endpoint is full."""
    kv_cache_util_threshold: Annotated[StrictFloat, Bounds(above=0, maximum=1)] = 0.8
    """KV usage at which an endpoint is full."""
    power: Positive = 5.0
    """How steeply the chance to be refused rises."""
    k: Positive = 300.0
    """Where: everybody is refused from a saturation of ``(1 / k) ** (1 / power)`` on, 0.32 by default."""


class ProbabilisticAdmitter(AdmitterPlugin[ProbabilisticParameters]):
    """Refuse sheddable requests by chance, the more of them the fuller the pool is.

    Formula: the chance is ``min(1, k * saturation ** power)``, with the saturation the mean over the candidates of
    ``max(waiting / queueDepthThreshold, kv_usage / kvCacheUtilThreshold)``; an endpoint whose metrics were never read
    counts 1. Source: probabilistic-admitter of llm-d, whose page gives 0.34 for where everybody is refused.
    """

    type = "probabilistic-admitter"
    use = "Shedding that sets in by degrees, and long before servers are full. The saturation gate still comes first."

    def admit(self, cycle: Cycle, rows: Rows) -> str | None:
        """Return ``None``, or how full the pool is."""
        settings, columns = self.parameters, cycle.columns
        full: Floats = np.maximum(
            columns.waiting[rows] / settings.queue_depth_threshold,
            columns.kv_usage[rows] / settings.kv_cache_util_threshold,
        )
        full[columns.scraped_at[rows] == NEVER] = 1.0
        saturation = float(full.mean())
        chance = min(1.0, settings.k * saturation**settings.power)
        if not chance or cycle.rng.random() >= chance:
            return None
        return f"the pool is at {saturation:.0%} of its capacity, where {chance:.0%} of sheddable requests are refused"
