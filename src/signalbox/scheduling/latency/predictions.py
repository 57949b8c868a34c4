"""What is expected of every endpoint for one request, and how far that is from what the client asked for."""

from __future__ import annotations

import msgspec
import numpy as np

from signalbox.pool import Floats, Mask, Rows


class Predicted(msgspec.Struct, frozen=True):
    """What was expected of the endpoint that was chosen."""

    ttft: float
    """Seconds to the first token."""
    tpot: float | None
    """Seconds per output token after it; ``None`` where that was not predicted."""


class Predictions(msgspec.Struct, frozen=True):
    """What is expected of the endpoints. Every array has an entry for each row of the pool."""

    source: str
    """Name of the producer that expects it."""
    at: float
    """Seconds of the caller's clock."""
    ttft: Floats
    """Seconds to the first token."""
    tpot: Floats | None
    """Seconds per output token after it; ``None`` where too few answers have ended, or nobody wants to know."""
    ttft_headroom: Floats
    """Seconds by which the first token is expected before the client's objective; negative for after."""
    tpot_headroom: Floats
    """Seconds per token by which the answer is expected to be faster than any objective it must keep."""

    def of(self, row: int) -> Predicted:
        """Return what is expected of one row."""
        return Predicted(float(self.ttft[row]), None if self.tpot is None else float(self.tpot[row]))

    def meets(self, rows: Rows) -> Mask:
        """Return which of ``rows`` are expected to keep every objective."""
        kept: Mask = (self.ttft_headroom[rows] >= 0.0) & (self.tpot_headroom[rows] >= 0.0)
        return kept


def headroom(predicted: Floats, objective: Floats | float | None, *, others: bool) -> Floats:
    """Return by how much ``predicted`` stays below ``objective``, for each entry.

    Where the client states no objective of this kind, it cannot be missed and the headroom is 0, if it states one of
    the other kind (``others``). Where it states none at all, the objective counts as 0: every headroom is negative,
    and who is nearest to it is who is fastest.
    """
    if objective is None:
        return np.zeros(len(predicted)) if others else -predicted
    return objective - predicted
