"""``static-usage-limit-policy``."""

from __future__ import annotations

from collections.abc import Sequence

from signalbox.scheduling.parameters import NotNegative
from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import UsageLimitPlugin


class StaticUsageLimitParameters(Parameters):
    """Parameters of static-usage-limit-policy."""

    threshold: NotNegative = 1.0
    """Saturation at which nobody is sent any more."""


class StaticUsageLimit(UsageLimitPlugin[StaticUsageLimitParameters]):
    """One ceiling for all priorities.

    Formula: ``threshold``. Source: static-usage-limit-policy of the Gateway API Inference Extension and llm-d.
    """

    type = "static-usage-limit-policy"
    use = "The default: everybody waits while the pool is full, and who matters more goes first when it is not."

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        """Return the threshold for each."""
        return [self.parameters.threshold] * len(priorities)
