"""The pickers that choose by chance."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from signalbox.scheduling.pickers import MaxScorePicker, RandomPicker, WeightedRandomPicker
from signalbox.scheduling.pickers.parameters import PickerParameters

DRAWS = 10_000


def first_choices(picker: Any, world: Any, scores: list[float]) -> dict[int, float]:
    state = world(len(scores))
    cycle = state.cycle(seed=420)
    counts = Counter(int(picker.pick(cycle, state.rows, np.array(scores), 1)[0]) for _ in range(DRAWS))
    return {row: count / DRAWS for row, count in counts.items()}


def test_random_is_even_whatever_the_scores(world: Any) -> None:
    shares = first_choices(RandomPicker(), world, [0.0, 1.0, 7.0])
    assert shares == pytest.approx({0: 1 / 3, 1: 1 / 3, 2: 1 / 3}, abs=0.02)


@pytest.mark.parametrize(
    "scores", [[10, 90], [1, 1, 1], [100, 90, 50, 30, 20], [0.001, 0.009]], ids=["10:90", "even", "five", "small"]
)
def test_weighted_random_is_in_proportion_to_the_scores(world: Any, scores: list[float]) -> None:
    shares = first_choices(WeightedRandomPicker(), world, scores)
    assert shares == pytest.approx({row: score / sum(scores) for row, score in enumerate(scores)}, abs=0.02)


def test_a_score_of_zero_is_never_drawn_unless_all_are_zero(world: Any) -> None:
    assert first_choices(WeightedRandomPicker(), world, [0, 5]) == {1: 1.0}
    assert first_choices(WeightedRandomPicker(), world, [0, 0]) == pytest.approx({0: 0.5, 1: 0.5}, abs=0.02)


@pytest.mark.parametrize("picker", [MaxScorePicker(), RandomPicker(), WeightedRandomPicker()], ids=lambda p: p.type)
@pytest.mark.parametrize("limit", [1, 2, 9])
def test_a_picker_returns_distinct_rows_up_to_its_limit(world: Any, picker: Any, limit: int) -> None:
    state = world(4)
    picked = picker.pick(state.cycle(), state.rows, np.array([1.0, 2.0, 3.0, 4.0]), limit).tolist()
    assert len(picked) == len(set(picked)) == min(limit, 4)


def test_an_answer_names_three_endpoints_unless_the_file_says_otherwise() -> None:
    for picker in (MaxScorePicker, RandomPicker, WeightedRandomPicker):
        assert picker().endpoints == 3
        assert picker(PickerParameters(max_num_of_endpoints=1)).endpoints == 1
