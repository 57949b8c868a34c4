"""A run: batches in which the same sequences decode and nothing else happens.

Every sequence reads one more token of KV cache in each batch, so each batch takes a constant longer than the one before
and the end of any batch of the run has a closed form. It is computed from the beginning of the run, never from the
batch before: a caller that jumps over a thousand batches gets the same bits as one that watches each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecodeRun:
    """Batches numbered from 1. Times in seconds."""

    start: float
    """When the first batch starts."""
    tick: int
    """The engine's tick before the first batch."""
    first: float
    """How long the first batch takes; positive."""
    growth: float
    """How much longer each batch takes than the one before; not negative."""

    def end(self, batch: int) -> float:
        """When this batch ends: the sum of an arithmetic series after the start."""
        return self.start + batch * self.first + self.growth * (batch * (batch - 1) // 2)

    def ended_by(self, now: float) -> int:
        """How many batches have ended at ``now``."""
        elapsed = now - self.start
        if elapsed < self.first:
            return 0
        # The positive root of growth/2 n^2 + (first - growth/2) n = elapsed, in the form that stands a growth of zero.
        slope = self.first - self.growth / 2
        batch = int(2 * elapsed / (slope + math.sqrt(slope * slope + 2 * self.growth * elapsed)))
        while self.end(batch) > now:
            batch -= 1
        while self.end(batch + 1) <= now:
            batch += 1
        return batch
