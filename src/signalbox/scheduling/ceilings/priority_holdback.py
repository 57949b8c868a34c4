"""``priority-holdback-policy``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import StrictFloat, model_validator

from signalbox.resources.strict import fault
from signalbox.scheduling.parameters import Bounds, Fraction
from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import UsageLimitPlugin


class PriorityHoldbackParameters(Parameters):
    """Parameters of priority-holdback-policy."""

    min_ceiling: Fraction
    """Ceiling of the lowest priority; below maxCeiling."""
    max_ceiling: Annotated[StrictFloat, Bounds(above=0, maximum=1)] = 1.0
    """Ceiling of the highest priority."""
    shape: Literal["linear"] = "linear"
    """How ceilings fall from the highest priority to the lowest."""
    domain: Literal["rank", "value"] = "rank"
    """Whether ceilings are spaced by the order of the priorities or by their values."""

    @model_validator(mode="after")
    def _ordered(self) -> PriorityHoldbackParameters:
        if self.min_ceiling >= self.max_ceiling:
            message = f"must be less than maxCeiling, {self.max_ceiling:g}, got {self.min_ceiling:g}"
            raise fault(message, "lower it, or use static-usage-limit-policy for one ceiling", "minCeiling")
        return self


class PriorityHoldback(UsageLimitPlugin[PriorityHoldbackParameters]):
    """The lower the priority, the more of the pool is held back from it.

    Formula: ceilings fall evenly from ``maxCeiling`` for the highest of the bands to ``minCeiling`` for the lowest: by
    rank, ``maxCeiling - i * (maxCeiling - minCeiling) / (N - 1)`` for the band ``i`` of ``N`` counted from 0; by value,
    ``minCeiling + (p - lowest) / (highest - lowest) * (maxCeiling - minCeiling)`` for priority ``p``. A single band has
    ``maxCeiling``. Bands are those of the configuration, priority 0, and those of priorities that had requests in the
    last ten minutes. Source: priority-holdback-policy of llm-d.
    """

    type = "priority-holdback-policy"
    use = "Batch work shares a pool with interactive work: it must leave room for what may come."

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        """Return the ceilings, whatever the saturation."""
        low, high = self.parameters.min_ceiling, self.parameters.max_ceiling
        if len(priorities) == 1:
            return [high]
        if self.parameters.domain == "rank":
            step = (high - low) / (len(priorities) - 1)
            return [high - index * step for index in range(len(priorities))]
        highest, lowest = priorities[0], priorities[-1]
        return [low + (priority - lowest) / (highest - lowest) * (high - low) for priority in priorities]
