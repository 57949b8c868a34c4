"""Endpoints by what they are expected to leave of the client's objectives."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from signalbox.scheduling import Cycle
from signalbox.scheduling.filters import PrefixCacheAffinityFilter, SLOHeadroomTierFilter
from signalbox.scheduling.latency import Predictions
from signalbox.scheduling.producers import PredictedLatencyProducer
from signalbox.scheduling.registry import BUILTIN


def made(type: str, **parameters: Any) -> Any:
    kind = BUILTIN[type]
    plugin = kind(kind.parameter_model.model_validate(parameters, by_alias=True, by_name=False))
    plugin.connect({needed: BUILTIN[needed]() for needed in plugin.needs()})
    return plugin


def expecting(cycle: Cycle, first: list[float], answer: list[float] | None = None) -> Cycle:
    """A request of which these headrooms are expected, in milliseconds."""
    size = cycle.columns.size
    headrooms = [np.zeros(size), np.zeros(size)]
    for column, values in zip(headrooms, (first, answer or []), strict=True):
        column[: len(values)] = np.array(values) / 1000.0
    ttft = 1.0 - headrooms[0]
    cycle.predictions = Predictions(PredictedLatencyProducer.type, cycle.now, ttft, None, *headrooms)
    return cycle


BUSY = [1.0] * 4


@pytest.mark.parametrize(
    ("parameters", "first", "answer", "expected"),
    [
        pytest.param({}, [120, 50, 30], None, [0.01, 0.79 - 0.002, 1], id="who just keeps it"),
        pytest.param({"headroomSelectionStrategy": "most"}, [120, 50, 30], None, [1, 0.2322, 0.01], id="who has most"),
        pytest.param({}, [100, 0], [0, 10], [0.21, 0.81], id="both count by their weights"),
        pytest.param({"ttftWeight": 1, "tpotWeight": 1}, [100, 0], [0, 10], [0.51, 0.51], id="evenly"),
        pytest.param({"ttftWeight": 0, "tpotWeight": 0}, [100, 0], [0, 10], [0.01, 1], id="without weights the first"),
        pytest.param({}, [50, 50], [0, 10], [1, 0.01], id="what is the same everywhere does not count"),
        pytest.param({}, [50, 50], [5, 5], [0.51, 0.51], id="nothing to tell them apart"),
        pytest.param({}, [50, -1, 40], [1, 9, -2], [0.51, 0, 0], id="who misses one is out"),
        pytest.param({}, [-5, -50, -90], None, [1, 0.4806, 0.01], id="all late: the least late"),
        pytest.param({"headroomSelectionStrategy": "most"}, [-5, -50], None, [1, 0.01], id="whatever the strategy"),
        pytest.param({}, [-5, 3, -9], [-1, -4, 2], [0, 0.51, 0], id="slow answers before late ones"),
        pytest.param({}, [-5, -3, -9], [-1, -4, 2], [0, 0, 0.51], id="late ones before both"),
    ],
)
def test_busy_endpoints(
    world: Any, parameters: dict[str, Any], first: list[float], answer: list[float] | None, expected: list[float]
) -> None:
    state = world(len(first), inflight=BUSY[: len(first)])
    cycle = expecting(state.cycle(), first, answer)
    assert made("latency-scorer", **parameters).score(cycle, state.rows) == pytest.approx(expected, abs=0.001)


def test_where_all_are_late_an_idle_one_comes_first(world: Any) -> None:
    state = world(3, inflight=[1, 0, 0])
    cycle = expecting(state.cycle(), [-1, -50, -90], [5, 5, 5])
    assert made("latency-scorer").score(cycle, state.rows) == pytest.approx([0, 1, 0.01])


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [(0.5 + 0 + 0.5) / 3, (0.9 + 1 + 0) / 3]),
        ({"compositeKVWeight": 0, "compositeQueueWeight": 0}, [0.5, 0]),
        ({"compositeKVWeight": 3, "compositeQueueWeight": 1, "compositePrefixWeight": 0}, [0.375, 0.925]),
        ({"compositeKVWeight": 0, "compositeQueueWeight": 0, "compositePrefixWeight": 0}, [0.5, 0.9]),
    ],
)
def test_while_nothing_is_predicted_memory_queue_and_prefix_decide(
    world: Any, parameters: dict[str, Any], expected: list[float]
) -> None:
    state = world(2, waiting=[4, 0], kv_usage=[0.5, 0.1])
    cycle = state.cycle(prefix=state.prefix([5, 0], total=10))
    assert made("latency-scorer", **parameters).score(cycle, state.rows) == pytest.approx(expected)


def test_the_older_name_is_the_same(world: Any) -> None:
    state = world(3, inflight=BUSY[:3])
    cycle = expecting(state.cycle(), [120, 50, 30])
    older, newer = made("predicted-latency-scorer"), made("latency-scorer")
    assert older.type == "predicted-latency-scorer"
    assert older.score(cycle, state.rows).tolist() == newer.score(cycle, state.rows).tolist()


class TestTheTierFilter:
    def kept(self, cycle: Cycle, rows: Any, **parameters: Any) -> list[int]:
        plugin = made("slo-headroom-tier-filter", **parameters)
        assert isinstance(plugin, SLOHeadroomTierFilter)
        return list(plugin.keep(cycle, rows).tolist())

    @pytest.mark.parametrize(
        ("first", "answer", "expected"),
        [
            ([5, -5, 0], [1, 1, 0], [0, 2]),
            ([5, 5, 5], [-1, 1, 1], [1, 2]),
            ([5, 5, 5], [1, 1, 1], [0, 1, 2]),
            ([-5, -5, 5], [1, -1, -1], [0, 1, 2]),
        ],
    )
    def test_who_keeps_every_objective_stays(
        self, world: Any, first: list[float], answer: list[float], expected: list[int]
    ) -> None:
        state = world(3)
        cycle = expecting(state.cycle(), first, answer)
        assert self.kept(cycle, state.rows, epsilonExploreNeg=0.0) == expected

    def test_the_others_are_tried_now_and_then(self, world: Any) -> None:
        state = world(2)
        cycle = expecting(state.cycle(), [5, -5])
        plugin = made("slo-headroom-tier-filter", epsilonExploreNeg=0.1)
        counts = Counter(tuple(plugin.keep(cycle, state.rows).tolist()) for _ in range(2000))
        assert counts.keys() == {(0,), (1,)}
        assert 150 < counts[(1,)] < 250

    def test_without_predictions_all_stay(self, world: Any) -> None:
        state = world(2)
        assert self.kept(state.cycle(), state.rows) == [0, 1]


class TestTheAffinityFilter:
    """prefix-cache-affinity-filter by what is predicted."""

    def kept(self, cycle: Cycle, rows: Any) -> list[int]:
        plugin = made("prefix-cache-affinity-filter", ttftSource="latencyPredictor", maxTTFTPenaltyMs=100.0)
        assert isinstance(plugin, PrefixCacheAffinityFilter)
        return list(plugin.keep(cycle, rows).tolist())

    @pytest.mark.parametrize(("headroom", "expected"), [([-90, 0, 0], [0]), ([-110, 0, 0], [0, 1, 2])])
    def test_a_holder_that_would_be_too_late_is_not_insisted_on(
        self, world: Any, headroom: list[float], expected: list[int]
    ) -> None:
        state = world(3)
        cycle = expecting(state.cycle(prefix=state.prefix([9], total=10)), headroom)
        assert self.kept(cycle, state.rows) == expected

    def test_while_nothing_is_predicted_it_goes_by_tokens_in_flight(self, world: Any) -> None:
        state = world(2, inflight_tokens=[15928 * 0.2, 0])
        assert self.kept(state.cycle(prefix=state.prefix([9], total=10)), state.rows) == [0, 1]
