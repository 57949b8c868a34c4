"""What a user wants to wait at most, and whether a replay kept to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signalbox.lab.outcome import Floats, Mask, Outcome


@dataclass(frozen=True, slots=True)
class Slo:
    """Seconds to the first token, and seconds for each token after it."""

    ttft: float = 2.0
    tpot: float = 0.05

    def __post_init__(self) -> None:
        for name, value in (("ttft", self.ttft), ("tpot", self.tpot)):
            if not value > 0:
                raise ValueError(f"slo {name}: {value:g} s is not positive")

    @classmethod
    def parse(cls, text: str) -> Slo:
        """Read ``ttft=2,tpot=0.05``; either may be left out. Raises ValueError naming what is wrong."""
        values = {}
        for part in text.split(","):
            name, equals, value = part.strip().partition("=")
            if not equals or name not in ("ttft", "tpot"):
                raise ValueError(f"slo {part.strip()!r}: write it as ttft=2,tpot=0.05 (seconds)")
            try:
                values[name] = float(value)
            except ValueError:
                raise ValueError(f"slo {name}: {value!r} is not a number of seconds") from None
        return cls(**values)

    def met(self, outcome: Outcome) -> Mask:
        """Which requests were answered within both limits."""
        with np.errstate(invalid="ignore"):
            return (outcome.ttft <= self.ttft) & (outcome.tpot <= self.tpot)

    def held(self, outcome: Outcome) -> bool:
        """Whether nine of ten requests waited at most ``ttft`` and nine of ten at most ``tpot``.

        What may be refused (priority below zero) does not count, unless there is nothing else; of the rest, who was
        refused waited for ever.
        """
        counted = outcome.priority >= 0
        if not counted.any():
            counted[:] = True
        if not len(counted):
            return False
        return bool(_p90(outcome.ttft[counted]) <= self.ttft and _p90(outcome.tpot[counted]) <= self.tpot)


def _p90(values: Floats) -> float:
    return float(np.percentile(np.where(np.isnan(values), np.inf, values), 90, method="higher"))
