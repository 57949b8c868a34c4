"""What a user wants to wait at most, and whether a replay kept to it."""

from __future__ import annotations

import math
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
            if not 0 < value < math.inf:
                raise ValueError(f"slo {name}: {value:g} s is not positive and finite")

    @classmethod
    def parse(cls, text: str) -> Slo:
        """Read ``ttft=2,tpot=0.05``; either may be left out. Raises ValueError naming what is wrong."""
        values = {}
        for part in text.split(","):
            name, equals, value = part.strip().partition("=")
            if not equals or name not in ("ttft", "tpot"):
                raise ValueError(f"slo {part.strip()!r}: write it as ttft=2,tpot=0.05 (seconds)")
            if name in values:
                raise ValueError(f"slo {name} is given twice")
            try:
                values[name] = float(value)
            except ValueError:
                raise ValueError(f"slo {name}: {value!r} is not a number of seconds") from None
        return cls(**values)

    def met(self, outcome: Outcome) -> Mask:
        """Which requests were answered within both limits."""
        with np.errstate(invalid="ignore"):
            return (outcome.ttft <= self.ttft) & (outcome.paceless | (outcome.tpot <= self.tpot))

    def held(self, outcome: Outcome) -> bool:
        """Whether nine of ten requests waited at most ``ttft`` and nine of ten at most ``tpot``.

        What may be refused (priority below zero) does not count, unless there is nothing else; of the rest, who was
        refused waited for ever.
        """
        if not len(outcome.priority):
            return False
        ttft, tpot = deciding(outcome)
        return ttft <= self.ttft and not tpot > self.tpot

    def broken_by(self, outcome: Outcome) -> str:
        """Why it was not `held`, in a few words; empty where it was."""
        if self.held(outcome):
            return ""
        if not len(outcome.priority):
            return "no requests"
        counted = _counted(outcome)
        ttft, tpot = deciding(outcome)
        if math.isinf(ttft):
            return f"{int((~outcome.complete[counted]).sum())} of {int(counted.sum())} unanswered"
        over = [(ttft, self.ttft, f"TTFT p90 {ttft:.3g} s"), (tpot, self.tpot, f"TPOT p90 {tpot * 1e3:.3g} ms")]
        return ", ".join(words for value, limit, words in over if value > limit)


def deciding(outcome: Outcome) -> tuple[float, float]:
    """The TTFT and TPOT, in seconds, that nine of ten requests that count stayed within: what `Slo.held` compares. The
    wait of the request at that place, not interpolated; infinite where more than one in ten was not answered, NaN where
    there is no request. Answers of one token have a TTFT and no TPOT: the second is of the others."""
    if not len(outcome.priority):
        return math.nan, math.nan
    counted = _counted(outcome)
    return _p90(outcome.ttft[counted]), _p90(outcome.tpot[counted & ~outcome.paceless])


def _counted(outcome: Outcome) -> Mask:
    counted = outcome.priority >= 0
    return counted if counted.any() else np.ones_like(counted)


def _p90(values: Floats) -> float:
    if not len(values):
        return math.nan
    return float(np.percentile(np.where(np.isnan(values), np.inf, values), 90, method="higher"))
