"""How full a pool is: the reference's cases, and what happens when metrics stop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from signalbox.scheduling.saturation import ConcurrencyDetector, UtilizationDetector
from signalbox.scheduling.saturation.concurrency import ConcurrencyDetectorParameters
from signalbox.scheduling.saturation.utilization import UtilizationDetectorParameters

LIMITS = {"queueDepthThreshold": 5, "kvCacheUtilThreshold": 0.9, "metricsStalenessThreshold": "100ms"}


def utilization(**fields: Any) -> UtilizationDetector:
    return UtilizationDetector(UtilizationDetectorParameters.model_validate(LIMITS | fields))


def concurrency(**fields: Any) -> ConcurrencyDetector:
    return ConcurrencyDetector(ConcurrencyDetectorParameters.model_validate(fields))


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([], 1.0),
        ([(2, 0.5)], 0.5556),
        ([(10, 0.1)], 2.0),
        ([(1, 0.95)], 1.0556),
        ([(5, 0.1)], 1.0),
        ([(1, 0.1), (1, 0.2)], 0.2111),
        ([(15, 0.1), (1, 0.1)], 1.6),
    ],
)
def test_utilization_is_the_mean_of_the_endpoints(world: Any, pods: list[tuple[float, float]], expected: float) -> None:
    state = world(len(pods), waiting=[queue for queue, _ in pods], kv_usage=[usage for _, usage in pods])
    assert utilization().saturation(state.cycle(), state.rows) == pytest.approx(expected, abs=1e-4)


def test_stale_and_missing_metrics_fall_back_to_what_is_in_flight(world: Any) -> None:
    state = world(2, waiting=[99, 99], inflight=[50, 0], scraped_at=[0.0, -np.inf])
    detector = utilization()
    assert detector.saturation(state.cycle(now=0.1), state.rows[:1]) > 1
    assert detector.saturation(state.cycle(now=0.2), state.rows) == pytest.approx(0.25)
    state.columns.inflight[:2] = 100
    assert detector.saturation(state.cycle(now=0.2), state.rows) == pytest.approx(1.0)


def test_metrics_are_believed_for_three_scrape_intervals_as_long_as_these_are_now(world: Any) -> None:
    state = world(1, waiting=[10], inflight=[50], scraped_at=[0.0])
    detector = utilization()
    assert detector.saturation(state.cycle(now=0.2), state.rows) == pytest.approx(0.5), "stale"
    state.columns.scrape_interval = 0.5
    assert detector.saturation(state.cycle(now=1.4), state.rows) == pytest.approx(2.0)
    assert detector.saturation(state.cycle(now=1.6), state.rows) == pytest.approx(0.5)
    state.columns.scrape_interval = 0.01
    assert detector.saturation(state.cycle(now=0.09), state.rows) == pytest.approx(2.0), "100ms is the longer"


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [([6, 0], [0, 1]), ([7, 0], [1]), ([7, 8], [0, 1])],
    ids=["within headroom", "one over", "all over"],
)
def test_as_a_filter_it_drops_what_is_over_its_headroom(world: Any, waiting: list[float], expected: list[int]) -> None:
    state = world(2, waiting=waiting)
    assert utilization(headroom=0.2).keep(state.cycle(), state.rows).tolist() == expected


@pytest.mark.parametrize(
    ("inflight", "expected"),
    [([], 1.0), ([0, 0], 0.0), ([5, 5], 0.5), ([10, 10], 1.0), ([0, 10], 0.5), ([20, 10], 1.5)],
)
def test_concurrency_counts_requests(world: Any, inflight: list[float], expected: float) -> None:
    state = world(len(inflight), inflight=inflight)
    assert concurrency(maxConcurrency=10).saturation(state.cycle(), state.rows) == pytest.approx(expected)


@pytest.mark.parametrize(("mode", "expected"), [("requests", 0.5), ("tokens", 0.5), ("hybrid", 0.95)])
def test_concurrency_modes(world: Any, mode: str, expected: float) -> None:
    state = world(2, inflight=[9, 1], inflight_tokens=[0, 100])
    detector = concurrency(concurrencyMode=mode, maxConcurrency=10, maxTokenConcurrency=100)
    assert detector.saturation(state.cycle(), state.rows) == pytest.approx(expected)
    assert concurrency(maxConcurrency=5).keep(state.cycle(), state.rows).tolist() == [1]


def test_the_fuller_of_prefill_servers_and_the_others_counts(world: Any) -> None:
    labels = [{"llm-d.ai/role": "prefill"}, {"llm-d.ai/role": "decode"}, {}]
    state = world(3, labels=labels, inflight=[10, 0, 0], waiting=[5, 0, 0])
    assert concurrency(maxConcurrency=10).saturation(state.cycle(), state.rows) == pytest.approx(1.0)
    assert utilization().saturation(state.cycle(), state.rows) == pytest.approx(1.0)
    assert utilization().saturation(state.cycle(), state.rows[1:]) == 0.0
