"""How full the pool may be for each priority."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.scheduling.ceilings import PriorityHoldback, SoftReflectiveCeiling, StaticUsageLimit
from signalbox.scheduling.ceilings.priority_holdback import PriorityHoldbackParameters
from signalbox.scheduling.ceilings.static import StaticUsageLimitParameters


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
