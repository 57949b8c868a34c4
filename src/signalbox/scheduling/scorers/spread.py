"""Min-max normalisation: the lowest of the candidates is best."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats


def lowest_is_best(values: Floats) -> Floats:
    """Return ``(max - x) / (max - min)`` for each value; 1 for all where all are equal. May reuse ``values``."""
    high = values.max()
    span = high - values.min()
    if not span:
        return np.ones(len(values))
    np.subtract(high, values, out=values)
    values /= span
    return values


def lowest_is_best_few(values: list[float]) -> list[float]:
    """Return `lowest_is_best`."""
    in_order = sorted(values)
    high = in_order[-1]
    span = high - in_order[0]
    return [(high - value) / span for value in values] if span else [1.0] * len(values)
