"""``soft-reflective-ceiling-policy``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import UsageLimitPlugin


class SoftReflectiveCeiling(UsageLimitPlugin[Parameters]):
    """The fuller the pool, the more rarely low priorities are looked at.

    Formula: the band ``i`` of ``N``, counted from 0 for the highest, has the ceiling ``1 - i * saturation / (N - 1)``.
    While saturation is below it the band is open. At or over it the band is open at one look in
    ``round(saturation / (1 - saturation))`` and closed at the others, all such bands at the same looks; from saturation
    1 on it is closed. The highest band is open below 1. A look is a request that arrives or one attempt to send one
    that waits; the reference looks every millisecond at least, so it opens more often while nothing happens. Source:
    soft-reflective-ceiling-policy of llm-d.
    """

    type = "soft-reflective-ceiling-policy"
    use = "Low priorities should slow down by degrees rather than stop at a threshold."

    def __init__(self, parameters: Parameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._looks = 0

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        """Return 1 for bands that are open and 0 for those that are closed."""
        last = len(priorities) - 1
        if last < 1:
            return [1.0] * len(priorities)
        gated = 0.0
        if 0.5 <= saturation < 1:  # below a half even the lowest band is under its ceiling
            self._looks += 1
            period = math.floor(saturation / (1 - saturation) + 0.5)
            gated = 1.0 if self._looks % period == 0 else 0.0
        return [
            1.0 if index == 0 or saturation < 1 - index * saturation / last else gated
            for index in range(len(priorities))
        ]
