"""Lines learned from what came, for each endpoint."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.scheduling.latency.lines import CLIP, ENOUGH, Lines


def taught(rows: dict[int, tuple[float, float]], count: int = 200, noise: float = 0.0, seed: int = 1) -> Lines:
    """Lines that saw ``count`` observations of each row, whose true offset and slope are given."""
    dice, lines = random.Random(seed), Lines()
    for _ in range(count):
        for row, (offset, slope) in rows.items():
            x = dice.uniform(0, 8000)
            lines.observe(row, x, (offset + slope * x) * math.exp(dice.gauss(0, noise)))
    return lines


def test_each_endpoint_has_a_line_of_its_own() -> None:
    fast, slow = (0.02, 30e-6), (0.05, 100e-6)
    lines = taught({0: fast, 3: slow})
    for x in (0.0, 500.0, 8000.0):
        assert lines.expect_of(0, x) == pytest.approx(fast[0] + fast[1] * x, rel=0.01)
        assert lines.expect_of(3, x) == pytest.approx(slow[0] + slow[1] * x, rel=0.03)
    assert lines.expect(np.full(4, 1000.0))[[0, 3]] == pytest.approx([0.05, 0.15], rel=0.03)


def test_noise_averages_out() -> None:
    lines = taught({0: (0.02, 30e-6)}, noise=0.2)
    assert lines.expect_of(0, 4000.0) == pytest.approx(0.14, rel=0.1)


def test_an_endpoint_nobody_has_heard_of_is_an_average_one() -> None:
    lines = taught({0: (0.02, 20e-6), 1: (0.02, 60e-6)})
    between = lines.expect_of(7, 4000.0)
    assert lines.expect_of(0, 4000.0) < between < lines.expect_of(1, 4000.0)
    assert lines.expect_of(40, 4000.0) == pytest.approx(between), "of a pool that has grown, too"


def test_one_that_has_left_is_forgotten() -> None:
    lines = taught({0: (0.02, 20e-6), 1: (0.02, 60e-6)})
    lines.forget(1)
    lines.forget(99)
    assert lines.expect_of(1, 4000.0) == pytest.approx(lines.expect_of(7, 4000.0))


def test_what_has_changed_is_learned_anew() -> None:
    lines = taught({0: (0.02, 20e-6)})
    dice = random.Random(2)
    for _ in range(150):
        x = dice.uniform(0, 8000)
        lines.observe(0, x, 0.02 + 50e-6 * x)
    assert lines.expect_of(0, 4000.0) == pytest.approx(0.22, rel=0.03)


def test_one_stall_does_not_change_the_picture() -> None:
    lines = taught({0: (0.02, 20e-6)})
    before = lines.expect_of(0, 4000.0)
    lines.observe(0, 4000.0, 1000.0)
    assert before < lines.expect_of(0, 4000.0) < before * (1 + CLIP / 30)


def test_observations_at_one_place_say_nothing_of_the_slope() -> None:
    lines = Lines()
    for _ in range(50):
        lines.observe(0, 1000.0, 0.5)
    assert lines.expect_of(0, 1000.0) == pytest.approx(0.5)
    assert lines.expect_of(0, 9000.0) == pytest.approx(0.5)


def test_they_are_believed_once_enough_was_seen() -> None:
    lines = Lines()
    for number in range(ENOUGH):
        assert not lines.known
        lines.observe(number % 3, 100.0, 0.1)
    assert lines.known


@pytest.mark.parametrize(
    ("x", "y"),
    [(-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, 0.0), (1.0, -1.0), (1.0, math.nan), (1.0, math.inf)],
)
def test_what_cannot_have_been_is_passed_over(x: float, y: float) -> None:
    lines = taught({0: (0.02, 20e-6)}, count=ENOUGH - 1)
    before = lines.expect_of(0, 4000.0)
    lines.observe(0, x, y)
    assert lines.expect_of(0, 4000.0) == before
    assert not lines.known


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 1e6), st.floats(0, 1e4)), min_size=1, max_size=60))
def test_whatever_comes_no_line_falls_or_starts_below_zero(observed: list[tuple[int, float, float]]) -> None:
    lines = Lines()
    for row, x, y in observed:
        lines.observe(row, x, y)
    low, high = lines.expect(np.zeros(24)), lines.expect(np.full(24, 1e6))
    assert (low >= 0).all()
    assert (high >= low).all()
    assert np.isfinite(high).all()
