"""What became of every request of a replay, as columns, and how the servers fared."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

COMPLETE, REFUSED, TOO_LARGE = range(3)
"""How a request ended: answered, refused by the picker, or refused by the server since it could never fit."""


@dataclass(slots=True)
class Outcome:
    """One replay. Every array has an entry for each request of the workload, in its order; times are seconds, and NaN
    where there is none. Equal to another outcome where everything but ``wall_seconds`` is."""

    policy: str
    workload: str
    arrival: Floats
    server: Ints
    """Which server took it; -1 where none did."""
    ended: Ints
    """`COMPLETE`, `REFUSED` or `TOO_LARGE`."""
    ttft: Floats
    """From arrival to the first token."""
    e2e: Floats
    """From arrival to the last token."""
    held: Floats
    """From arrival to being sent to a server: 0 but where requests wait in the picker."""
    queue: Floats
    """In the server's queue, from being sent there to the first batch."""
    prompt: Ints
    output: Ints
    cached: Ints
    """Prompt tokens the server found in its prefix cache."""
    priority: Ints
    preempted: Ints
    """How often it was taken off the GPU and computed again."""
    servers: int
    samples: Samples
    wall_seconds: float = field(default=0.0, compare=False)
    """What the replay took on this machine."""

    @property
    def complete(self) -> Mask:
        """Which requests were answered."""
        return np.equal(self.ended, COMPLETE)

    @property
    def tpot(self) -> Floats:
        """Seconds for each output token after the first; NaN for answers of one token, which have no pace."""
        after = np.maximum(self.output - 1, 1)
        return np.where(self.output > 1, (self.e2e - self.ttft) / after, np.nan)

    @property
    def paceless(self) -> Mask:
        """Which requests were answered with one token."""
        return self.complete & np.equal(self.output, 1)

    @property
    def seconds(self) -> float:
        """From the first arrival to the last token, or to the last arrival where no request was answered."""
        ends = self.arrival + np.where(self.complete, self.e2e, 0.0)
        return float(ends.max() - self.arrival.min()) if len(ends) else 0.0

    def differs(self, other: Outcome) -> tuple[str, ...]:
        """Names of the columns in which two outcomes are not the same."""
        names = (
            "arrival",
            "server",
            "ended",
            "ttft",
            "e2e",
            "held",
            "queue",
            "prompt",
            "output",
            "cached",
            "preempted",
        )
        return tuple(n for n in names if not np.array_equal(getattr(self, n), getattr(other, n), equal_nan=True))


@dataclass(slots=True)
class Samples:
    """What the servers held at evenly spaced moments: one row for each moment, one column for each server."""

    times: Floats
    running: Floats
    waiting: Floats
    kv_usage: Floats
