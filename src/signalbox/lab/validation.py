"""Repeats the published comparisons, and says how far ours are from theirs.

Absolute figures depend on much that nobody published (how clients counted tokens, what a proxy added), so what is
compared is how the policies stand to each other: each against the best one, in output tokens a second and in TTFT p90.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from signalbox.lab.outcome import Outcome
from signalbox.lab.parallel import Job, run_all
from signalbox.lab.published import PAUSE, Comparison, Stated
from signalbox.lab.scrapes import Scraping

RATE_TOLERANCE = 0.25
TTFT_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Repeated:
    """One policy of a comparison, theirs and ours. Times in seconds."""

    stated: Stated
    output_rate: float
    """The mean over the stages but for the warm-up: output tokens by the time from its begin to its last token."""
    ttft_p90: float
    """The mean over the stages."""
    stage_ttft_p90: tuple[float, ...]
    hit_rate: float
    outside: float
    """What of ``ttft_p90`` was not simulated but added: `Comparison.outside`."""

    @property
    def stated_ttft_p90(self) -> float:
        """Theirs as the mean over the stages, as ours is taken."""
        return float(np.mean(self.stated.stage_ttft_p90))


def repeat(comparison: Comparison, workers: int, scraping: Scraping | None = None) -> list[Repeated]:
    """Replay a comparison; its policies in the order they were stated."""
    workload = comparison.workload()
    jobs = [
        Job(workload, comparison.servers, contender, scraping or Scraping()) for contender in comparison.contenders()
    ]
    outcomes = dict(run_all(jobs, workers))
    return [_repeated(comparison, stated, outcomes[place]) for place, stated in enumerate(comparison.stated)]


def _repeated(comparison: Comparison, stated: Stated, outcome: Outcome) -> Repeated:
    rates, times = [], []
    start = 0.0
    measured = np.zeros(len(outcome.arrival), bool)
    for place, load in enumerate(comparison.loads):
        stage = (outcome.arrival >= start - PAUSE / 2) & (outcome.arrival < start + load.seconds + PAUSE / 2)
        if place:
            ends = outcome.arrival[stage] + outcome.e2e[stage]
            rates.append(outcome.output[stage].sum() / (ends.max() - start))
            times.append(float(np.percentile(outcome.ttft[stage], 90)) + comparison.outside)
            measured |= stage
        start += load.seconds + PAUSE
    hits = outcome.cached[measured].sum() / outcome.prompt[measured].sum()
    return Repeated(stated, float(np.mean(rates)), float(np.mean(times)), tuple(times), float(hits), comparison.outside)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Two policies of one comparison: how they stand to each other in theirs and in ours."""

    pair: tuple[str, str]
    what: str
    theirs: float
    ours: float
    within: bool
    bare: float | None = None
    """Ours without the constant that was added to every TTFT; ``None`` for throughput."""
    bare_within: bool | None = None


def verdicts(repeated: Iterable[Repeated]) -> list[Verdict]:
    """Every policy against every better one: ratios of throughput within 25 %, ratios of TTFT p90 within a factor of 2.
    TTFT is judged with and without the constant that was added to ours."""
    found = []
    for best, other in combinations(repeated, 2):
        pair = (best.stated.policy, other.stated.policy)
        theirs, ours = best.stated.output_rate / other.stated.output_rate, best.output_rate / other.output_rate
        found.append(Verdict(pair, "output tok/s", theirs, ours, abs(ours / theirs - 1) <= RATE_TOLERANCE))
        theirs, ours = other.stated_ttft_p90 / best.stated_ttft_p90, other.ttft_p90 / best.ttft_p90
        within = 1 / TTFT_FACTOR <= ours / theirs <= TTFT_FACTOR
        bare = (other.ttft_p90 - other.outside) / (best.ttft_p90 - best.outside)
        bare_within = 1 / TTFT_FACTOR <= bare / theirs <= TTFT_FACTOR
        found.append(Verdict(pair, "TTFT p90", theirs, ours, within, bare, bare_within))
    return found


def orders(repeated: Sequence[Repeated]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """For throughput and for TTFT p90 the policies from best to worst, theirs and ours, however small a
    difference is."""

    def ranked(value: Callable[[Repeated], float]) -> tuple[str, ...]:
        return tuple([one.stated.policy for one in sorted(repeated, key=value)])

    return [
        ("output tok/s", ranked(lambda one: 1 / one.stated.output_rate), ranked(lambda one: 1 / one.output_rate)),
        ("TTFT p90", ranked(lambda one: one.stated_ttft_p90), ranked(lambda one: one.ttft_p90)),
    ]
