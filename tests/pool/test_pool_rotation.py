"""Weighted rotation: exact shares, evenly spread."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Rotation


def test_ninety_ten_is_exact_over_any_thousand() -> None:
    rotation = Rotation([("v1", 90), ("v2", 10)])
    assert Counter(rotation.take() for _ in range(1000)) == {"v1": 900, "v2": 100}


def test_the_minority_is_spread_not_bunched() -> None:
    rotation = Rotation([("v1", 3), ("v2", 1)])
    assert [rotation.take() for _ in range(8)] == ["v1", "v1", "v2", "v1"] * 2


def test_without_weights_all_weigh_the_same() -> None:
    rotation = Rotation([("a", None), ("b", None), ("c", None)])
    assert Counter(rotation.take() for _ in range(300)) == {"a": 100, "b": 100, "c": 100}


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any), st.integers(1, 4))
def test_every_full_turn_gives_each_name_its_weight(weights: list[int], turns: int) -> None:
    choices = [(f"n{i}", weight) for i, weight in enumerate(weights)]
    rotation = Rotation(choices)
    for _ in range(turns):
        taken = Counter(rotation.take() for _ in range(sum(weights)))
        assert taken == Counter({name: weight for name, weight in choices if weight})


@given(st.lists(st.integers(1, 1_000_000), min_size=2, max_size=5), st.integers(1, 200))
def test_at_any_moment_a_name_is_less_than_the_number_of_names_off_its_share(weights: list[int], taken: int) -> None:
    rotation = Rotation([(str(i), weight) for i, weight in enumerate(weights)])
    counts = Counter(rotation.take() for _ in range(taken))
    for i, weight in enumerate(weights):
        assert abs(counts[str(i)] - taken * weight / sum(weights)) < len(weights)


@pytest.mark.parametrize("choices", [[], [("a", 0)], [("a", -1), ("b", 2)]])
def test_choices_that_cannot_be_served_are_refused(choices: list[tuple[str, int | None]]) -> None:
    with pytest.raises(ValueError, match=r"rotation needs|must not"):
        Rotation(choices)
