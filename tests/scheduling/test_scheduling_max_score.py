"""The max-score picker: score, then requests in flight, then chance; the same over few rows and over many."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Columns
from signalbox.scheduling import Cycle
from signalbox.scheduling.pickers import MaxScorePicker


def pick(scores: list[float], inflight: list[int], limit: int = 3, seed: int = 1) -> list[int]:
    columns = Columns()
    while columns.size < len(scores):
        columns.grow()
    columns.inflight[: len(inflight)] = inflight
    cycle = Cycle("m", 0, columns, random.Random(seed))
    rows = MaxScorePicker().pick(cycle, np.arange(len(scores)), np.array(scores), limit)
    return [int(row) for row in rows]


def test_score_first_then_requests_in_flight() -> None:
    assert pick([0.1, 0.9, 0.9, 0.5], [0, 7, 2, 0]) == [2, 1, 3]


@pytest.mark.parametrize("size", [2, 8, 64, 65, 500])
def test_equal_rows_take_turns_by_chance(size: int) -> None:
    first = Counter(pick([0.0] * size, [0] * size, seed=seed)[0] for seed in range(300))
    assert len(first) > min(size, 50) * 0.9
    assert max(first.values()) < 300 * max(3 / size, 0.65)


@pytest.mark.parametrize("size", [2, 64, 65, 70])
@pytest.mark.parametrize("busy", [0, 1])
def test_more_may_be_asked_for_than_there_are(size: int, busy: int) -> None:
    picked = pick([0.0] * (size - 1) + [1.0], [busy] * size, limit=size + 30)
    assert picked[0] == size - 1
    assert sorted(picked) == list(range(size))


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 3)), min_size=1, max_size=200),
    st.integers(1, 250),
    st.integers(0, 5),
)
def test_what_is_picked_is_what_sorting_everything_would_pick(
    state: list[tuple[float, int]], limit: int, seed: int
) -> None:
    scores, inflight = [score for score, _ in state], [count for _, count in state]
    picked = pick(scores, inflight, limit, seed)
    assert len(set(picked)) == len(picked) == min(limit, len(state))
    ranks = sorted((-score, count) for score, count in state)
    assert [(-scores[row], inflight[row]) for row in picked] == ranks[: len(picked)]
