"""How the targets of one model share its requests."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool.split import Split

HEADER = "x-session-id"


def sessions(split: Split, count: int = 2000) -> list[str]:
    """Which target each of many sessions gets."""
    return [split.take({HEADER: f"session-{number}"}) for number in range(count)]


def test_without_a_sticky_header_targets_take_turns_by_weight() -> None:
    split = Split("m", [("a", 3), ("b", 1)])
    assert Counter(split.take({HEADER: "one"}) for _ in range(400)) == {"a": 300, "b": 100}


def test_a_session_stays_with_its_target() -> None:
    split = Split("m", [("a", 1), ("b", 1)], HEADER)
    first = sessions(split)
    assert sessions(split) == first
    assert sessions(Split("m", [("a", 1), ("b", 1)], HEADER)) == first


def test_the_header_is_named_in_any_case() -> None:
    assert Split("m", [("a", 1), ("b", 1)], " X-Session-ID ").header == HEADER


def test_a_request_without_the_header_or_with_an_empty_one_takes_its_turn() -> None:
    split = Split("m", [("a", 1), ("b", 1)], HEADER)
    assert Counter(split.take({}) for _ in range(10)) == {"a": 5, "b": 5}
    assert Counter(split.take({HEADER: ""}) for _ in range(10)) == {"a": 5, "b": 5}


@pytest.mark.parametrize(
    ("weights", "shares"), [((90, 10), (0.9, 0.1)), ((1, 1), (0.5, 0.5)), ((None, None), (0.5, 0.5))]
)
def test_sessions_share_by_weight(weights: tuple[int | None, int | None], shares: tuple[float, float]) -> None:
    drawn = Counter(sessions(Split("m", [("a", weights[0]), ("b", weights[1])], HEADER), 10_000))
    assert drawn["a"] / 10_000 == pytest.approx(shares[0], abs=0.02)


def test_a_weight_that_grows_only_takes_sessions_from_the_others() -> None:
    before = sessions(Split("m", [("a", 90), ("b", 10), ("c", 10)], HEADER))
    after = sessions(Split("m", [("a", 90), ("b", 40), ("c", 10)], HEADER))
    moved = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {("a", "b"), ("c", "b")}


def test_two_objects_split_sessions_independently() -> None:
    one, other = (sessions(Split(owner, [("a", 1), ("b", 1)], HEADER)) for owner in ("m", "n"))
    agreeing = sum(first == second for first, second in zip(one, other, strict=True))
    assert 900 < agreeing < 1100


def test_a_target_nobody_has_loaded_is_held_back_and_its_weight_goes_to_the_others() -> None:
    split = Split("m", [("a", 50), ("b", 25), ("new", 25)])
    split.restrict(frozenset({"a", "b", "unrelated"}))
    assert split.held_back == ("new",)
    assert Counter(split.take({}) for _ in range(300)) == {"a": 200, "b": 100}
    split.restrict(frozenset({"a", "b", "new"}))
    assert not split.held_back
    assert Counter(split.take({}) for _ in range(400)) == {"a": 200, "b": 100, "new": 100}


@pytest.mark.parametrize("listed", [None, frozenset[str](), frozenset({"else"})])
def test_where_nothing_is_known_or_nothing_is_loaded_nothing_is_held_back(listed: frozenset[str] | None) -> None:
    split = Split("m", [("a", 1), ("b", 1)])
    split.restrict(listed)
    assert split.held_back == ()
    assert Counter(split.take({}) for _ in range(10)) == {"a": 5, "b": 5}


def test_a_lone_target_is_never_held_back() -> None:
    split = Split("m", [("a", 1)], HEADER)
    split.restrict(frozenset({"b"}))
    assert (split.held_back, split.take({HEADER: "s"})) == ((), "a")


def test_news_that_changes_nothing_does_not_restart_the_rotation() -> None:
    split = Split("m", [("a", 3), ("b", 1)])
    drawn = []
    for number in range(8):
        split.restrict(frozenset({"a", "b", f"other-{number}"}))
        drawn.append(split.take({}))
    assert Counter(drawn) == {"a": 6, "b": 2}


def test_when_a_target_loads_only_its_own_sessions_move_to_it() -> None:
    split = Split("m", [("a", 50), ("b", 50), ("new", 25)], HEADER)
    whole = sessions(split)
    split.restrict(frozenset({"a", "b"}))
    held = sessions(split)
    assert "new" not in held
    assert all(now == later for now, later in zip(held, whole, strict=True) if later != "new")


TARGETS = st.tuples(st.text(max_size=5), st.integers(1, 10**6))


@given(
    choices=st.lists(TARGETS, min_size=1, max_size=6, unique_by=lambda choice: choice[0]),
    listed=st.none() | st.frozensets(st.text(max_size=5)),
    session=st.text(),
)
def test_what_is_taken_is_a_target_that_is_not_held_back(
    choices: list[tuple[str, int]], listed: frozenset[str] | None, session: str
) -> None:
    split = Split("m", choices, HEADER)
    split.restrict(listed)
    for headers in ({}, {HEADER: session}):
        taken = split.take(headers)
        assert taken in dict(choices)
        assert taken not in split.held_back
