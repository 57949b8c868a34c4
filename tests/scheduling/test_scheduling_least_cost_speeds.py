"""Prefill speeds are learned from the times to first tokens, endpoint by endpoint."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.scheduling.least_cost import Speeds
from signalbox.scheduling.least_cost.speeds import LEAST_TOKENS, PRIOR_SECONDS


def learn(speeds: Speeds, per_token: dict[int, float], *, rounds: int, fixed: float = 0.02, noise: float = 0.1) -> None:
    """First tokens of prompts between 300 and 16,000 tokens, row by row, with noise of this relative spread."""
    rng = random.Random(3)
    for _ in range(rounds):
        for row, seconds in per_token.items():
            tokens = math.exp(rng.uniform(math.log(300), math.log(16_000)))
            speeds.observe(row, tokens, (fixed + seconds * tokens) * rng.gauss(1.0, noise))


def test_before_anything_was_seen_all_are_equal() -> None:
    assert Speeds().column(20).tolist() == [PRIOR_SECONDS] * 20


@pytest.mark.parametrize("true", [20e-6, 100e-6, 400e-6])
def test_the_speed_of_the_pool_is_found_from_far_off(true: float) -> None:
    speeds = Speeds()
    learn(speeds, dict.fromkeys(range(4), true), rounds=100)
    assert speeds.column(4)[:4] == pytest.approx(true, rel=0.15)


def test_equal_servers_look_exactly_equal_whatever_the_noise() -> None:
    speeds = Speeds()
    learn(speeds, dict.fromkeys(range(8), 33e-6), rounds=60, noise=0.15)
    assert len(set(speeds.column(8)[:8].tolist())) == 1


def test_a_slow_server_is_told_apart_and_the_others_stay() -> None:
    speeds = Speeds()
    learn(speeds, {0: 33e-6, 1: 33e-6, 2: 33e-6, 3: 100e-6}, rounds=100)
    column = speeds.column(4)
    assert column[3] / column[0] == pytest.approx(3.0, rel=0.25)
    assert column[0] == column[1] == column[2]


def test_a_server_that_recovers_is_found_out() -> None:
    speeds = Speeds()
    learn(speeds, {0: 33e-6, 1: 33e-6, 2: 200e-6}, rounds=60)
    assert speeds.column(3)[2] > 3 * speeds.column(3)[0]
    learn(speeds, {0: 33e-6, 1: 33e-6, 2: 33e-6}, rounds=200)
    assert speeds.column(3)[2] == speeds.column(3)[0]


def test_a_server_that_is_avoided_gets_another_chance_in_time() -> None:
    speeds = Speeds()
    learn(speeds, {0: 33e-6, 1: 33e-6, 2: 150e-6}, rounds=60)
    learn(speeds, {0: 33e-6, 1: 33e-6}, rounds=3000)
    assert speeds.column(3)[2] == speeds.column(3)[0]


def test_one_stall_changes_little() -> None:
    speeds = Speeds()
    learn(speeds, dict.fromkeys(range(4), 33e-6), rounds=50)
    before = speeds.column(4).copy()
    speeds.observe(1, 4000.0, 60.0)
    assert speeds.column(4) == pytest.approx(before, rel=0.1)


@pytest.mark.parametrize(
    ("tokens", "seconds"),
    [(LEAST_TOKENS - 1, 1.0), (4000.0, 0.0), (4000.0, -1.0), (4000.0, math.inf), (4000.0, math.nan)],
)
def test_what_says_nothing_is_not_counted(tokens: float, seconds: float) -> None:
    speeds = Speeds()
    speeds.observe(0, tokens, seconds)
    assert speeds.column(8).tolist() == [PRIOR_SECONDS] * 8


def test_a_new_endpoint_on_an_old_row_is_an_average_one() -> None:
    speeds = Speeds()
    learn(speeds, {0: 33e-6, 1: 33e-6, 2: 200e-6}, rounds=60)
    speeds.forget(2)
    assert speeds.column(3)[2] == speeds.seconds_per_token
    speeds.forget(400)  # a row nobody ever asked for


def test_prompts_of_one_length_leave_a_usable_line() -> None:
    speeds = Speeds()
    for number in range(300):
        speeds.observe(number % 4, 1000.0, 0.12)
    assert speeds.fixed + 1000 * speeds.seconds_per_token == pytest.approx(0.12, rel=0.1)
    assert speeds.fixed >= 0.0


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.floats(0, 2e6), st.floats(allow_nan=True, allow_infinity=True)), max_size=60
    )
)
def test_whatever_is_observed_speeds_stay_positive_and_finite(points: list[tuple[int, float, float]]) -> None:
    speeds = Speeds()
    for row, tokens, seconds in points:
        speeds.observe(row, tokens, seconds)
    column = speeds.column(31)
    assert np.isfinite(column).all()
    assert (column > 0).all()
    assert 0.0 <= speeds.fixed <= 5.0
