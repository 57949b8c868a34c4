"""How full the pool may be for each priority."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signalbox.scheduling.ceilings import LongPromptHoldback, PriorityHoldback, SoftReflectiveCeiling, StaticUsageLimit
from signalbox.scheduling.ceilings.long_prompt_holdback import REMEMBERED, LongPromptHoldbackParameters
from signalbox.scheduling.ceilings.priority_holdback import PriorityHoldbackParameters
from signalbox.scheduling.ceilings.static import StaticUsageLimitParameters
from signalbox.scheduling.queueing import Flow, Turn


def test_a_static_limit_is_the_same_for_all() -> None:
    assert list(StaticUsageLimit().ceilings(0.5, [7, 0, -7])) == [1.0, 1.0, 1.0]
    assert list(StaticUsageLimit(StaticUsageLimitParameters(threshold=0.8)).ceilings(2.0, [7, 0])) == [0.8, 0.8]


@pytest.mark.parametrize(
    ("parameters", "priorities", "ceilings"),
    [
        ({"min_ceiling": 0.4}, [100, 0, -10], [1.0, 0.7, 0.4]),
        ({"min_ceiling": 0.4, "max_ceiling": 0.9}, [3, 2, 1, 0, -1, -2], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
        ({"min_ceiling": 0.4, "domain": "value"}, [100, 0, -20], [1.0, 0.5, 0.4]),
        ({"min_ceiling": 0.0, "max_ceiling": 0.5, "domain": "value"}, [10, 9, 0], [0.5, 0.45, 0.0]),
        ({"min_ceiling": 0.4, "max_ceiling": 0.9}, [0], [0.9]),
        ({"min_ceiling": 0.4, "max_ceiling": 0.9, "domain": "value"}, [5], [0.9]),
        ({"min_ceiling": 0.4}, [1, 0], [1.0, 0.4]),
    ],
)
def test_priorities_are_held_back(parameters: dict[str, Any], priorities: list[int], ceilings: list[float]) -> None:
    policy = PriorityHoldback(PriorityHoldbackParameters(**parameters))
    assert list(policy.ceilings(0.3, priorities)) == pytest.approx(ceilings)
    assert list(policy.ceilings(1.3, priorities)) == pytest.approx(ceilings), "whatever the saturation"


@pytest.mark.parametrize(
    ("saturation", "looks"),
    [
        (0.0, [[1, 1, 1]] * 2),
        (0.49, [[1, 1, 1]] * 2),
        (0.5, [[1, 1, 1]] * 2),  # a period of one: open at each look
        (0.65, [[1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1]]),
        (0.75, [[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0]]),
        (0.9, [*[[1, 0, 0]] * 8, [1, 1, 1], [1, 0, 0]]),
        (1.0, [[1, 0, 0]] * 3),
        (3.0, [[1, 0, 0]] * 3),
    ],
)
def test_low_priorities_are_looked_at_more_rarely(saturation: float, looks: list[list[int]]) -> None:
    policy = SoftReflectiveCeiling()
    assert [list(policy.ceilings(saturation, [9, 5, 1])) for _ in looks] == looks


def test_a_single_band_is_never_held_back() -> None:
    assert list(SoftReflectiveCeiling().ceilings(0.9, [0])) == [1.0]


@given(st.lists(st.tuples(st.floats(0, 1.2), st.integers(1, 6)), max_size=40))
def test_no_band_is_open_below_one_that_is_closed(looks: list[tuple[float, int]]) -> None:
    policy = SoftReflectiveCeiling()
    for saturation, count in looks:
        ceilings = list(policy.ceilings(saturation, list(range(count, 0, -1))))
        assert ceilings == sorted(ceilings, reverse=True)
        assert ceilings[0] == 1


def prompt(tokens: float, *, arrived: float = 0.0, priority: int = 0) -> Turn:
    """A request with a prompt of this length."""
    return Turn(Flow("", priority), 1, arrived, prompt_tokens=tokens)


def holdback(lengths: Sequence[float] = range(1, 101), **fields: Any) -> LongPromptHoldback:
    """One that prompts of these lengths have come to, 1 to 100 tokens unless told otherwise."""
    policy = LongPromptHoldback(LongPromptHoldbackParameters.model_validate(fields))
    for tokens in lengths:
        policy.arrived(prompt(tokens))
    return policy


def test_the_longest_prompts_go_below_a_lower_ceiling() -> None:
    policy = holdback()
    (usual,) = policy.ceilings(1.5, [0])
    assert usual == 2.0
    held = [tokens for tokens in range(1, 101) if policy.ceiling(prompt(tokens), usual, 0.0) < usual]
    assert held == list(range(88, 101)), "a tenth of the 96 prompts at which it looked last"
    assert policy.ceiling(prompt(100.0), usual, 0.0) == 1.0


@pytest.mark.parametrize(("share", "held"), [(1.0, 95), (0.5, 47), (0.01, 0)])
def test_how_many_are_long_is_a_parameter(share: float, held: int) -> None:
    policy = holdback(range(1, 97), share=share)
    assert sum(policy.ceiling(prompt(tokens), 2.0, 0.0) == 1.0 for tokens in range(1, 97)) == held


def test_where_prompts_are_all_alike_none_is_long() -> None:
    assert holdback([500.0] * 100).ceiling(prompt(500.0), 2.0, 0.0) == 2.0


def test_until_it_has_seen_some_no_prompt_is_long() -> None:
    assert holdback(range(1, 16)).ceiling(prompt(1e9), 2.0, 0.0) == 2.0
    assert holdback(range(1, 17)).ceiling(prompt(1e9), 2.0, 0.0) == 1.0


def test_what_is_long_changes_with_what_comes() -> None:
    policy = holdback([10_000.0] * REMEMBERED)
    assert policy.ceiling(prompt(500.0), 2.0, 0.0) == 2.0
    for _ in range(REMEMBERED):
        policy.arrived(prompt(100.0))
    assert policy.ceiling(prompt(500.0), 2.0, 0.0) == 1.0


def test_a_prompt_that_has_waited_long_enough_goes_at_any_saturation() -> None:
    policy = holdback(longestHold="5s")
    assert policy.ceiling(prompt(100.0, arrived=1.0), 2.0, 5.9) == 1.0
    assert policy.ceiling(prompt(100.0, arrived=1.0), 2.0, 6.0) == math.inf
    assert policy.ceiling(prompt(1.0, arrived=1.0), 2.0, 6.0) == math.inf


def test_sheddable_requests_wait_for_the_lower_ceiling_however_long() -> None:
    policy = holdback()
    assert list(policy.ceilings(0.3, [10, 0, -1])) == [2.0, 2.0, 1.0]
    assert policy.ceiling(prompt(1.0, priority=-1), 1.0, 1e6) == 1.0


def test_no_ceiling_is_above_that_of_the_others() -> None:
    policy = holdback(ceiling=3.0, othersCeiling=1.5)
    assert policy.ceiling(prompt(100.0), 1.5, 0.0) == 1.5


def test_a_reload_keeps_what_it_knows_of_prompts() -> None:
    policy = LongPromptHoldback()
    policy.adopt(holdback())
    assert policy.ceiling(prompt(100.0), 2.0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"share": 0.0}, "share"),
        ({"share": 1.5}, "share"),
        ({"longestHold": "-1s"}, "longestHold"),
        ({"longestHold": "soon"}, "longestHold"),
        ({"ceiling": -1.0}, "ceiling"),
        ({"shares": 0.1}, "shares"),
    ],
)
def test_a_holdback_that_means_nothing_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        LongPromptHoldbackParameters.model_validate(fields)
