"""One replay in a few numbers, each with how sure it is.

The intervals come from a bootstrap: the same figure for many resamples of the requests, and the middle 95 % of what
came out. Requests that follow each other meet the same queues, so they are drawn in blocks of neighbours and not one by
one (Künsch 1989; blocks of the cube root of the number of requests). An interval says how much a figure hangs on these
very requests. It does not cover what another trace, another seed or another GPU would change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from signalbox.lab.outcome import REFUSED, TOO_LARGE, Floats, Ints, Outcome, Samples
from signalbox.lab.slo import Slo

RESAMPLES = 400
_LOW, _HIGH = 2.5, 97.5
_AT_ONCE = 2_000_000  # numbers in memory
_POINTS = (50.0, 90.0, 99.0)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its 95 % interval; ``low`` and ``high`` are ``value`` where there is none."""

    value: float
    low: float
    high: float


Figures = dict[str, Figure]

NAMES = {
    **{
        f"{what}_{point}": f"{label} {point}"
        for what, label in (("ttft", "TTFT s"), ("tpot", "TPOT ms"), ("e2e", "E2E s"))
        for point in ("mean", "p50", "p90", "p99")
    },
    "output_rate": "output tok/s",
    "hit_rate": "prefix hits %",
    "goodput": "goodput req/s",
    "attained": "within SLO %",
    "held_p50": "held p50 s",
    "held_p99": "held p99 s",
    "queue_p99": "queue p99 s",
    "imbalance": "imbalance",
    "preemptions": "preemptions",
    "refused": "refused",
    "too_large": "too large",
}
"""Every figure and its heading. TPOT is of answers of two tokens and more; ``held`` is the wait in the picker,
``queue`` that in a server's queue; ``goodput`` is requests a second that kept both limits, ``attained`` their share of
all; ``imbalance`` is the spread of requests in flight over the servers (standard deviation by mean, weighted by load).
"""

SCALE = {"tpot_mean": 1e3, "tpot_p50": 1e3, "tpot_p90": 1e3, "tpot_p99": 1e3, "hit_rate": 1e2, "attained": 1e2}
"""What to multiply a figure by for its heading."""


def figures(outcome: Outcome, slo: Slo, *, resamples: int = RESAMPLES, seed: int = 0) -> Figures:
    """Every figure of `NAMES`. Times in seconds, shares from 0 to 1; NaN where no request was answered."""
    draws = _Draws.of(len(outcome.arrival), resamples, seed)
    done, seconds = outcome.complete, outcome.seconds or np.nan
    found: Figures = {}
    for what, values in (("ttft", outcome.ttft), ("tpot", outcome.tpot), ("e2e", outcome.e2e)):
        for point, figure in zip(("mean", "p50", "p90", "p99"), _spread(values, draws), strict=True):
            found[f"{what}_{point}"] = figure
    met = slo.met(outcome).astype(float)
    tokens = np.where(done, outcome.output, 0).astype(float)
    ones = np.ones(len(met))
    found["output_rate"] = _ratio(tokens, ones * (seconds / max(len(ones), 1)), draws)
    found["hit_rate"] = _ratio(
        np.where(done, outcome.cached, 0).astype(float), np.where(done, outcome.prompt, 0).astype(float), draws
    )
    found["goodput"] = _ratio(met, ones * (seconds / max(len(ones), 1)), draws)
    found["attained"] = _ratio(met, ones, draws)
    found["held_p50"], found["held_p99"] = itemgetter(1, 3)(_spread(outcome.held, draws))
    found["queue_p99"] = _spread(outcome.queue, draws)[3]
    found["imbalance"] = _exact(imbalance(outcome.samples))
    found["preemptions"] = _exact(float(outcome.preempted.sum()))
    found["refused"] = _exact(float((outcome.ended == REFUSED).sum()))
    found["too_large"] = _exact(float((outcome.ended == TOO_LARGE).sum()))
    return found


def imbalance(samples: Samples) -> float:
    """The spread over the servers of requests they hold: the mean over time of the standard deviation, by the mean."""
    held = samples.running + samples.waiting
    mean = float(held.mean()) if held.size else 0.0
    return float(held.std(axis=1).mean()) / mean if mean else 0.0


def _exact(value: float) -> Figure:
    return Figure(value, value, value)


@dataclass(frozen=True, slots=True)
class _Draws:
    """Resamples of ``range(count)`` in blocks of neighbours. Only where each block begins is kept: written out they
    would take gigabytes for a trace of a million requests."""

    count: int
    length: int
    """Of a block."""
    starts: Ints
    """Shape ``(resamples, blocks)``."""

    @classmethod
    def of(cls, count: int, resamples: int, seed: int) -> _Draws:
        length = max(1, round(count ** (1 / 3)))
        starts = np.random.default_rng(seed).integers(
            0, max(count, 1), (resamples, -(-count // length)), dtype=np.int32
        )
        return cls(count, length, starts.astype(np.int64))

    def over(self, statistic: Callable[[Ints], Floats]) -> Floats:
        """Apply a statistic to all resamples, as many at a time as memory allows; it gets one in each row."""
        step = max(1, _AT_ONCE // max(self.count, 1))
        parts = [statistic(self._written(self.starts[at : at + step])) for at in range(0, len(self.starts), step)]
        return np.concatenate(parts)

    def _written(self, starts: Ints) -> Ints:
        drawn: Ints = (starts[:, :, None] + np.arange(self.length)).reshape(len(starts), -1)[:, : self.count]
        drawn[drawn >= self.count] -= self.count  # the last request is followed by the first
        return drawn


def _interval(value: float, resampled: Floats) -> Figure:
    kept = resampled[~np.isnan(resampled)]
    if not len(kept):
        return _exact(value)
    low, high = np.percentile(kept, (_LOW, _HIGH))
    return Figure(value, float(low), float(high))


def _spread(values: Floats, draws: _Draws) -> tuple[Figure, ...]:
    """Mean and percentiles of what is there."""
    if np.isnan(values).all():
        return (_exact(float("nan")),) * (1 + len(_POINTS))
    whole = not np.isnan(values).any()

    def points(drawn: Ints) -> Floats:
        picked = values[drawn]
        if whole:
            found = np.percentile(picked, _POINTS, axis=1)
            return np.column_stack([picked.mean(axis=1), *found])
        rows = []
        for row in picked:
            there = row[~np.isnan(row)]
            rows.append([there.mean(), *np.percentile(there, _POINTS)] if len(there) else [np.nan] * 4)
        return np.array(rows)

    there = values[~np.isnan(values)]
    exact = [float(there.mean()), *(float(value) for value in np.percentile(there, _POINTS))]
    resampled = draws.over(points)
    return tuple([_interval(value, resampled[:, place]) for place, value in enumerate(exact)])


def _ratio(above: Floats, below: Floats, draws: _Draws) -> Figure:
    total = float(below.sum())
    if not total or np.isnan(total):
        return _exact(float("nan"))
    resampled = draws.over(lambda drawn: above[drawn].sum(axis=1) / np.maximum(below[drawn].sum(axis=1), 1e-12))
    return _interval(float(above.sum()) / total, resampled)
