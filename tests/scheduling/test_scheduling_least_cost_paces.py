"""What pace least-cost expects of each endpoint: partly what was measured, for the rest by what is to be done there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Floats
from signalbox.scheduling.least_cost import Paces, Sent
from signalbox.scheduling.least_cost.paces import KV_READ_TOKENS, LEAST_SECONDS, MODELLED, SEQUENCE_TOKENS

ROWS = np.array([0, 1])
NOTHING = np.zeros(2)
SPEEDS = np.array([1e-4, 1e-4])


def expected(paces: Paces, **columns: list[float]) -> list[float]:
    """Two endpoints that compute 10,000 tokens a second, but for what is given. Nothing was measured."""
    usual = {"speeds": SPEEDS, "requests": NOTHING, "context": NOTHING, "sent": NOTHING, "measured": NOTHING}
    arrays: dict[str, Floats] = {name: np.array(columns.get(name, values)) for name, values in usual.items()}
    return list(paces.expected(ROWS, **arrays))


def test_what_was_sent_lately_fades_with_the_window() -> None:
    sent = Sent()
    sent.column(4, 10.0, 2.0)
    sent.add(1, 1000.0)
    assert sent.column(4, 10.0, 2.0)[:3].tolist() == [0.0, 1000.0, 0.0]
    assert sent.column(4, 12.0, 2.0)[1] == pytest.approx(1000.0 / math.e)
    sent.add(1, 500.0)
    assert sent.column(4, 14.0, 2.0)[1] == pytest.approx((1000.0 / math.e + 500.0) / math.e)


def test_a_clock_that_stands_or_goes_back_fades_nothing() -> None:
    sent = Sent()
    sent.column(1, 5.0, 1.0)
    sent.add(0, 100.0)
    assert sent.column(1, 4.0, 1.0)[0] == 100.0


def test_what_is_taken_back_never_leaves_less_than_nothing() -> None:
    sent = Sent()
    sent.column(1, 0.0, 1.0)
    sent.add(0, 100.0)
    sent.column(1, 3.0, 1.0)
    sent.add(0, -100.0)
    assert sent.column(1, 3.0, 1.0)[0] == 0.0


def test_a_pool_that_grows_keeps_what_was_sent_and_an_endpoint_that_left_takes_it_along() -> None:
    sent = Sent()
    sent.column(2, 0.0, 1.0)
    sent.add(1, 100.0)
    sent.add(500, 100.0)  # a row nobody has asked for yet
    assert sent.column(40, 0.0, 1.0)[[1, 39]].tolist() == [100.0, 0.0]
    sent.forget(1)
    sent.forget(500)
    assert not sent.column(40, 0.0, 1.0).any()


def test_neighbours_their_context_and_new_prompts_make_tokens_slower() -> None:
    paces = Paces()
    assert expected(paces, requests=[100, 50]) == pytest.approx(
        [100 * SEQUENCE_TOKENS * 1e-4, 50 * SEQUENCE_TOKENS * 1e-4]
    )
    assert expected(paces, context=[70_000, 140_000]) == pytest.approx([7 / KV_READ_TOKENS, 14 / KV_READ_TOKENS])
    assert expected(paces, sent=[300, 600]) == pytest.approx([0.03, 0.06])
    assert expected(paces, sent=[300, 300], speeds=[1e-4, 3e-4]) == pytest.approx([0.03, 0.09])


def test_no_token_is_reckoned_to_come_at_once() -> None:
    assert expected(Paces()) == pytest.approx([LEAST_SECONDS, LEAST_SECONDS])


def test_what_was_measured_has_its_part_once_something_was() -> None:
    plain, slow = expected(Paces(), sent=[300, 300], measured=[0.0, 0.05])
    assert plain == pytest.approx(0.03)
    assert slow == pytest.approx(0.03 * MODELLED + 0.05 * (1.0 - MODELLED))


def test_the_base_is_what_the_load_does_not_explain() -> None:
    paces = Paces()
    for _ in range(50):
        expected(paces, sent=[100, 200])
        paces.learn(0, 0.03, 1e-4)  # 300 prompt tokens, 100 of which are load
        paces.learn(1, 0.04, 1e-4)
    assert paces.base == pytest.approx(200.0)
    assert expected(paces, sent=[0, 100]) == pytest.approx([0.02, 0.03])


def test_a_slow_server_has_a_slow_base() -> None:
    paces = Paces()
    expected(paces)
    paces.learn(0, 0.02, 1e-4)
    assert expected(paces, speeds=[1e-4, 3e-4]) == pytest.approx([0.02, 0.06])


def test_who_was_no_candidate_last_teaches_nothing() -> None:
    paces = Paces()
    paces.learn(0, 0.05, 1e-4)
    expected(paces)
    paces.learn(7, 0.05, 1e-4)
    assert paces.base == 0.0


figures = st.lists(
    st.tuples(*[st.floats(0, bound, allow_subnormal=False) for bound in (500, 1e6, 1e4, 1.0)], st.floats(1e-7, 0.1)),
    min_size=1,
    max_size=16,
)


@given(rows=figures, base=st.floats(-500, 500))
def test_a_list_gives_the_same_to_the_bit(rows: list[tuple[float, ...]], base: float) -> None:
    paces, numbers = Paces(), list(range(len(rows)))
    paces.base = base
    requests, context, sent, measured, speeds = (list(column) for column in zip(*rows, strict=True))
    arrays = [np.array(column) for column in (speeds, requests, context, sent, measured)]
    assert (
        paces.expected_few(numbers, speeds, requests, context, sent, measured)
        == paces.expected(np.array(numbers), *arrays).tolist()
    )
