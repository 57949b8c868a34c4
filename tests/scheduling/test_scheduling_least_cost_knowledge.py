"""What least-cost knows besides speeds: answers, requests of others, adapters' slots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from signalbox.scheduling.least_cost import Answers, Slots, Strangers
from signalbox.scheduling.least_cost.answers import PRIOR_HOLD, PRIOR_TOKENS


def test_before_any_answer_has_ended_there_is_no_pace_to_protect() -> None:
    answers = Answers()
    assert answers.tokens == PRIOR_TOKENS
    assert answers.pace(12).tolist() == [0.0] * 12
    assert answers.hold(12).tolist() == [PRIOR_HOLD] * 12


def test_the_pace_leaves_out_the_first_token_and_an_endpoint_without_answers_has_the_pools() -> None:
    answers = Answers()
    answers.ended(1, 101.0, 2.0, 4.0)
    assert answers.pace(3)[:3] == pytest.approx([0.02, 0.02, 0.02])
    for _ in range(100):
        answers.ended(1, 101.0, 2.0, 4.0)
        answers.ended(0, 101.0, 1.0, 7.0)
    assert answers.pace(3)[:2] == pytest.approx([0.06, 0.02], rel=0.01)
    assert 0.02 < answers.pace(3)[2] < 0.06
    assert answers.hold(3)[:2] == pytest.approx([7.0, 4.0], rel=0.01)
    assert answers.tokens == pytest.approx(101.0, rel=0.05)


def test_one_fast_answer_does_not_make_an_endpoint_fast() -> None:
    answers = Answers()
    for _ in range(20):
        answers.ended(0, 101.0, 1.0, 4.0)
    answers.ended(1, 101.0, 1.0, 1.5)
    slow, lucky = answers.pace(2)[:2]
    assert slow == pytest.approx(0.03)
    assert 0.75 * slow < lucky < slow


@pytest.mark.parametrize(("tokens", "first"), [(None, 0.5), (100.0, None), (1.0, 0.5)])
def test_without_lengths_or_first_token_there_is_no_pace(tokens: float | None, first: float | None) -> None:
    answers = Answers()
    answers.ended(0, tokens, first, 3.0)
    assert answers.token_seconds == 0.0
    assert 3.0 < answers.hold(1)[0] < PRIOR_HOLD


def test_a_new_endpoint_on_an_old_row_has_the_pools_answers() -> None:
    answers = Answers()
    answers.ended(0, 101.0, 0.0, 10.0)
    for _ in range(200):
        answers.ended(1, 101.0, 0.0, 2.0)
    answers.forget(0)
    answers.forget(99)
    assert answers.pace(1)[0] == answers.token_seconds
    assert answers.hold(1)[0] == answers.hold_seconds


def test_requests_a_server_has_beyond_ours_are_strangers(world: Any) -> None:
    state = world(3, waiting=[6, 1, 0], running=[10, 4, 0], inflight_mark=[4, 5, 0])
    found = Strangers().of(state.columns, state.rows, 0.5)
    assert found is not None
    waiting, running = found
    assert waiting.tolist() == [6.0, 0.0, 0.0]
    assert running.tolist() == [4.0, 0.0, 0.0]  # sixteen reported, four ours, two in doubt


def test_where_all_are_ours_there_is_nothing_to_add(world: Any) -> None:
    state = world(2, waiting=[2, 0], running=[5, 3], inflight_mark=[6, 3])
    assert Strangers().of(state.columns, state.rows, 0.0) is None


def test_old_reports_say_nothing_about_strangers(world: Any) -> None:
    state = world(1, running=[20])
    strangers = Strangers()
    assert strangers.of(state.columns, state.rows, 0.5) is not None
    assert strangers.of(state.columns, state.rows, 30.0) is None


def test_strangers_are_counted_anew_when_servers_have_reported(world: Any) -> None:
    state = world(1, running=[20])
    strangers = Strangers()
    strangers.of(state.columns, state.rows, 0.0)
    state.columns.running[0] = 0
    state.columns.scraped(0, 0.1)
    assert strangers.of(state.columns, state.rows, 0.1) is None


def with_adapters(world: Any, **columns: Any) -> Any:
    state = world(3, lora_max=[2, 2, 2], **columns)
    state.columns.set_adapters(0, frozenset({"a"}))
    state.columns.set_adapters(1, frozenset({"b", "c"}))
    return state


def wait(state: Any, slots: Slots, target: str = "a") -> list[float]:
    hold = np.full(len(state.rows), 4.0)
    found: list[float] = slots.wait(state.columns, target, state.rows, 0.1, hold).tolist()
    return found


HALF_FULL = 4.0 / 4  # the price of one of two slots, where requests stay for 4 s
FULL = 4.0


def test_only_names_that_servers_show_as_adapters_are_adapters(world: Any) -> None:
    state, slots = with_adapters(world), Slots()
    assert slots.is_adapter(state.columns, "a")
    assert not slots.is_adapter(state.columns, "base")
    state.columns.set_adapters(0, frozenset())
    assert slots.is_adapter(state.columns, "a")  # once shown, it is known


def test_an_adapter_is_free_where_it_runs_loaded_elsewhere_and_waits_where_slots_are_taken(world: Any) -> None:
    assert wait(with_adapters(world, inflight=[1, 2, 0]), Slots()) == pytest.approx(
        [0.0, 0.1 + 4.0 + FULL, 0.1 + HALF_FULL]
    )


def test_a_slot_costs_more_the_fewer_are_left_and_nothing_where_there_is_no_limit(world: Any) -> None:
    state = world(3, lora_max=[8, 8, 0], inflight=[1, 6, 1])
    state.columns.set_adapters(0, frozenset({"b"}))
    state.columns.set_adapters(1, frozenset("bcdefg"))
    one, six, unlimited = wait(state, Slots())
    assert one == pytest.approx(0.1 + 4.0 * (2 / 8) ** 2)
    assert six == pytest.approx(0.1 + 4.0 * (7 / 8) ** 2)
    assert unlimited == pytest.approx(0.1)


def test_requests_on_the_way_count_before_a_server_shows_them(world: Any) -> None:
    state, slots = with_adapters(world, inflight=[1, 2, 2]), Slots()
    for target in ("b", "c"):
        assert slots.is_adapter(state.columns, target)
        slots.routed(target, 2)
    assert slots.is_adapter(state.columns, "a")
    assert wait(state, slots)[2] == pytest.approx(0.1 + 4.0 + FULL)
    slots.routed("a", 2)
    assert wait(state, slots)[2] == 0.0
    for target in ("a", "b", "c"):
        slots.finished(target, 2)
    assert wait(state, slots)[2] == pytest.approx(0.1 + HALF_FULL)
    slots.finished("a", 2)  # nothing left to end


def test_a_request_that_ended_elsewhere_is_not_believed_for_ever(world: Any) -> None:
    state, slots = with_adapters(world, inflight=[1, 2, 1]), Slots()
    assert slots.is_adapter(state.columns, "a")
    slots.routed("a", 2)
    slots.finished("a", 0)  # a fallback served it
    assert wait(state, slots)[2] == 0.0
    state.columns.inflight[2] = 0
    assert wait(state, slots)[2] == pytest.approx(0.1 + HALF_FULL)


def test_what_was_on_the_way_to_an_endpoint_that_left_is_forgotten(world: Any) -> None:
    state, slots = with_adapters(world), Slots()
    assert slots.is_adapter(state.columns, "a")
    slots.routed("a", 2)
    slots.forget(2)
    assert wait(state, slots)[2] == pytest.approx(0.1 + HALF_FULL)


def test_short_answers_among_long_ones_show_in_the_shortness_and_hardly_in_the_mean() -> None:
    answers = Answers()
    assert answers.shortness == pytest.approx(1 / PRIOR_TOKENS)
    for _ in range(300):
        answers.ended(0, 500.0, 1.0, 6.0)
        answers.ended(0, 5.0, 1.0, 1.1)
    assert answers.tokens == pytest.approx(252.5, rel=0.02)
    assert answers.shortness == pytest.approx((1 / 500 + 1 / 5) / 2, rel=0.02)


def test_an_answer_without_tokens_counts_as_one_token_short() -> None:
    answers = Answers()
    for _ in range(1000):
        answers.ended(0, 0.0, 0.5, 0.5)
    assert answers.shortness == pytest.approx(1.0)
