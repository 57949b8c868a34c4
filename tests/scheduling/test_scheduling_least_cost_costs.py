"""The cost in seconds, term by term."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Floats
from signalbox.scheduling.least_cost import Outlook, Weights, room, seconds, slowness, stall
from signalbox.scheduling.least_cost.costs import OWN_PACE

WEIGHTS = Weights(later=0.0, crowding=1.0)


def outlook(**columns: Any) -> Outlook:
    """Two idle endpoints that compute 10,000 tokens a second, but for what is given."""
    usual = {
        "uncached": [1000.0, 1000.0],
        "ahead": [0.0, 0.0],
        "requests": [0.0, 0.0],
        "context": [0.0, 0.0],
        "seconds_per_token": [1e-4, 1e-4],
        "stall": [0.0, 0.0],
        "slowness": [0.0, 0.0],
    }
    arrays = {name: np.array(columns.get(name, values), float) for name, values in usual.items()}
    return Outlook(**arrays, answer_tokens=100.0)


def test_on_an_idle_endpoint_it_is_the_prefill_of_what_is_not_cached() -> None:
    assert seconds(outlook(uncached=[1000, 250]), WEIGHTS) == pytest.approx([0.1, 0.025])


def test_tokens_ahead_and_slower_gpus_add_their_time() -> None:
    assert seconds(outlook(ahead=[3000, 0]), WEIGHTS) == pytest.approx([0.4, 0.1])
    assert seconds(outlook(seconds_per_token=[1e-4, 3e-4]), WEIGHTS) == pytest.approx([0.1, 0.3])


def test_a_stall_counts_for_every_request_there() -> None:
    crowded = outlook(requests=[10, 2], stall=[0.05, 0.05])
    assert seconds(crowded, WEIGHTS) == pytest.approx([0.1 + 0.5, 0.1 + 0.1])
    assert seconds(crowded, Weights(later=0.0, crowding=3.0)) == pytest.approx([0.1 + 1.5, 0.1 + 0.3])


def test_the_answers_own_pace_counts_as_one_at_the_target_would_by_its_square() -> None:
    assert slowness(np.array([0.05, 0.1, 0.0]), 0.05) == pytest.approx([1.0, 4.0, 0.0])
    found = seconds(outlook(slowness=[1.0, 4.0]), Weights(later=0.0, crowding=2.0))
    assert found == pytest.approx([0.1 + 2.0 * OWN_PACE, 0.1 + 8.0 * OWN_PACE])


def test_a_prefill_counts_again_for_those_to_come_and_what_is_ahead_does_not() -> None:
    found = seconds(outlook(ahead=[3000, 0], uncached=[250, 1000]), Weights(later=2.0, crowding=0.0))
    assert found == pytest.approx([0.3 + 0.025 * 3, 0.1 * 3])


def test_a_stall_costs_what_it_adds_to_the_square_of_the_pace_over_the_target() -> None:
    # Answers of 10 tokens: 0.2 s more are 20 ms a token more.
    found = stall(np.array([0.2, 0.2, 0.0]), np.array([0.03, 0.0, 0.05]), 0.05, 10.0, 1 / 10)
    assert found == pytest.approx([1.0**2 - 0.6**2, 0.4**2, 0.0])


def test_the_same_stall_costs_long_answers_less() -> None:
    delay, pace = np.array([0.2]), np.array([0.01])
    short, long = (stall(delay, pace, 0.05, tokens, 1 / tokens)[0] for tokens in (20.0, 500.0))
    assert short > 25 * long


@given(
    st.lists(st.floats(1, 2000), min_size=1, max_size=20),
    st.floats(0, 5),
    st.floats(0, 0.2),
)
def test_a_stall_is_averaged_over_answers_by_how_long_they_are_in_progress(
    lengths: list[float], delay: float, pace: float
) -> None:
    tokens = np.array(lengths)
    each = (((pace + delay / tokens) / 0.05) ** 2 - (pace / 0.05) ** 2) * tokens / tokens.sum()
    found = stall(np.array([delay]), np.array([pace]), 0.05, float(tokens.mean()), float((1 / tokens).mean()))
    assert found[0] == pytest.approx(each.sum(), rel=1e-6, abs=1e-9)


def test_what_fits_the_cache_waits_for_nothing_and_what_does_not_waits_for_others_to_end() -> None:
    held: Floats = np.array([500.0, 900.0, 900.0])
    per_token: Floats = np.array([1e-3, 1e-3, 0.0])  # room for 1,000 tokens; the last does not say
    wait = room(held, 400.0, per_token, np.array([6.0, 6.0, 6.0]))
    assert wait == pytest.approx([0.0, 300 / (900 / 6.0), 0.0])


@given(
    st.lists(st.tuples(*[st.floats(0, 1e6)] * 4), min_size=2, max_size=6),
    st.sampled_from(["uncached", "ahead", "requests"]),
    st.floats(0, 1e6),
)
def test_more_of_anything_never_costs_less(rows: list[tuple[float, ...]], name: str, more: float) -> None:
    columns = dict(zip(("uncached", "ahead", "requests", "context"), np.array(rows).T, strict=True))
    speed = np.full(len(rows), 1e-4)
    told = {"stall": np.full(len(rows), 0.1), "slowness": np.full(len(rows), 0.2)}
    before = Outlook(**columns, **told, seconds_per_token=speed, answer_tokens=100.0)
    after = msgspec.structs.replace(before, **{name: getattr(before, name) + more})
    weights = Weights(later=0.5, crowding=1.5)
    assert (seconds(after, weights) >= seconds(before, weights)).all()
