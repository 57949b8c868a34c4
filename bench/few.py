"""What a profile costs over lists and over arrays, by the number of endpoints: ``python -m bench.few``.

Both ways choose the same. They take turns within each round; figures are medians of CPU time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from bench import report
from bench.decision import loaded_pool
from signalbox.pool import Columns, Rows
from signalbox.scheduling import Cycle, Profile, guide_profile
from signalbox.scheduling.pickers import MaxScorePicker
from signalbox.scheduling.prefix import PrefixMatch
from signalbox.scheduling.runs import ArrayRun, ListRun
from signalbox.scheduling.scorers import KVCacheUtilizationScorer, LeastCostScorer, PrefixCacheScorer, QueueScorer

_SIZES = (1, 2, 4, 8, 16, 32, 64)
_ROUNDS = 25
_DECISIONS = 200


def main() -> None:
    """Measure and print."""
    usual = ((QueueScorer(), 2.0), (KVCacheUtilizationScorer(), 2.0), (PrefixCacheScorer(), 3.0))
    scorers = Profile((), usual, MaxScorePicker())
    least_cost = Profile((), ((LeastCostScorer(), 1.0),), MaxScorePicker())
    rows = []
    for size in _SIZES:
        pool = loaded_pool(size)
        cells = [str(size)]
        for profile in (guide_profile(), scorers, least_cost):
            found = _measure(pool.columns, ListRun(profile), ArrayRun(profile), pool.rows)
            cells += [f"{value:.1f}" for value in found]
        rows.append(tuple(cells))
    columns = (
        "endpoints",
        "guide: lists",
        "arrays",
        "queue, KV, prefix: lists",
        "arrays",
        "least-cost: lists",
        "arrays",
    )
    report.show([report.plain_table("one decision of a profile: CPU us", columns, rows)])


def _measure(columns: Columns, lists: ListRun, arrays: ArrayRun, rows: Rows) -> tuple[float, float]:
    match = PrefixMatch(np.arange(columns.size, dtype=np.float64) % 8, 10, 64, 600)

    def cycle() -> Cycle:
        return Cycle("food-review-1", 1, columns, rng, prompt_tokens=600, now=10.0, prefix=match)

    def over_lists() -> None:
        lists.schedule(cycle(), rows.tolist())

    def over_arrays() -> None:
        arrays.schedule(cycle(), rows)

    rng = random.Random(7)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for way, spent in zip((over_lists, over_arrays), times, strict=True):
            spent.append(_us(way))
    return median(times[0]), median(times[1])


def _us(way: Callable[[], None]) -> float:
    started = time.process_time()
    for _ in range(_DECISIONS):
        way()
    return (time.process_time() - started) / _DECISIONS * 1e6


if __name__ == "__main__":
    main()
