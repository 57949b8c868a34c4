"""Looks at the servers of a replay at evenly spaced moments."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from signalbox.engine import Engine
from signalbox.lab.outcome import Samples

SAMPLES = 200
"""Moments at which the servers are looked at."""


class Sampler:
    """Fills in the time series of one replay."""

    def __init__(self, last: float, requests: int, engines: Sequence[Engine]) -> None:
        """``last`` is when the last of ``requests`` arrives; of fewer than two there is no series."""
        self._engines = engines
        self._times = np.linspace(0.0, last, (SAMPLES if requests > 1 else 0) + 1)[1:]
        self._values = np.zeros((3, len(self._times), len(engines)))
        self._done = 0

    @property
    def next(self) -> float:
        """When to look again; infinity when that is done."""
        return float(self._times[self._done]) if self._done < len(self._times) else math.inf

    def look(self) -> None:
        """It is time to look."""
        for number, engine in enumerate(self._engines):
            stats = engine.stats()
            self._values[:, self._done, number] = stats.running, stats.waiting, stats.kv_usage
        self._done += 1

    @property
    def samples(self) -> Samples:
        """What was seen."""
        return Samples(self._times, *self._values)
