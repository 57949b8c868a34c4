"""The guide's policy as a whole: the reference release's cases, and what happens between two scrapes."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from signalbox.pool import Pool, Readings
from signalbox.scheduling import Cycle, GuideThresholds, guide_profile


def choose(pool: Pool, target: str, priority: int, seed: int = 1) -> list[str]:
    decision = guide_profile().schedule(Cycle(target, priority, pool.columns, random.Random(seed)), pool.rows)
    return [] if decision is None else [pool.endpoint(row).pod for row in decision.rows]


CRITICAL, STANDARD = 1, 0


@pytest.mark.parametrize(
    ("pods", "target", "priority", "expected"),
    [
        pytest.param(
            [(3, 0.2, set()), (0, 0.1, set()), (10, 0.2, set())],
            "my-model-12345",
            CRITICAL,
            "pod-1",
            id="shortest queue",
        ),
        pytest.param(
            [(0, 0.2, {"foo", "bar"}), (0, 0.1, {"foo", "sql-1"}), (10, 0.2, {"foo", "bar"})],
            "sql-1",
            CRITICAL,
            "pod-1",
            id="where the adapter is active",
        ),
        pytest.param(
            [(10, 0.2, {"foo", "bar"}), (200, 0.1, {"foo", "sql-1"}), (6, 0.2, {"foo"})],
            "sql-1",
            CRITICAL,
            "pod-2",
            id="not where the adapter is active but the queue is long",
        ),
        pytest.param(
            [(4, 0.2, {"foo", "sql-3"}), (0, 0.85, {"foo", "sql-3"}), (10, 0.9, {"foo", "sql-3"})],
            "sql-3",
            STANDARD,
            "pod-0",
            id="not critical: only one has capacity",
        ),
        pytest.param(
            [(200, 0.9, {"x"}), (150, 0.9, set()), (300, 0.1, set())],
            "x",
            CRITICAL,
            "pod-0",
            id="all queues long: of the shorter ones, where the adapter is active",
        ),
        pytest.param(
            [(6, 0.2, set()), (7, 0.85, set()), (10, 0.9, set())],
            "m",
            STANDARD,
            "pod-0",
            id="standard without capacity anywhere takes the critical branch",
        ),
    ],
)
def test_cases_of_the_reference_release(
    build_pool: Any, pods: list[tuple[float, float, set[str]]], target: str, priority: int, expected: str
) -> None:
    assert choose(build_pool(*pods), target, priority)[0] == expected


def test_two_more_endpoints_are_named_as_fallbacks_all_different(build_pool: Any) -> None:
    pool = build_pool(*[(queue, 0.1, set()) for queue in (9, 0, 4, 7)])
    chosen = choose(pool, "m", STANDARD)
    assert chosen[0] == "pod-1"
    assert len(set(chosen)) == 3


def test_a_pool_of_one_has_no_fallbacks(build_pool: Any) -> None:
    assert choose(build_pool((500, 1.0, set())), "m", STANDARD) == ["pod-0"]


def test_a_decision_tells_its_steps(build_pool: Any) -> None:
    pool = build_pool((9, 0.1, set()), (0, 0.1, set()), lora_max=1)
    decision = guide_profile().schedule(Cycle("m", STANDARD, pool.columns, random.Random(1)), pool.rows)
    assert decision is not None
    assert [f"{step.plugin} {step.before}->{step.after}" for step in decision.steps] == [
        "reachable 2->2",
        "has-capacity 2->1",
        "least-queuing 1->1",
        "lora-affinity 1->1",
        "least-kv-cache 1->1",
        "decision-tree 2->1",
        "max-score-picker 1->1",
        "max-score-picker 1->1",
    ]


@pytest.mark.parametrize("priority", [CRITICAL, STANDARD])
@pytest.mark.parametrize("lora_max", [0, 4])
def test_two_hundred_arrivals_between_two_scrapes_spread_evenly(build_pool: Any, priority: int, lora_max: int) -> None:
    pool = build_pool(*[(0, 0.0, set())] * 8, lora_max=lora_max)
    rng = random.Random(7)
    profile = guide_profile()
    for _ in range(200):
        decision = profile.schedule(Cycle("m", priority, pool.columns, rng), pool.rows)
        assert decision is not None
        pool.acquire(pool.endpoint(decision.rows[0]), 200)
    counts = Counter(pool.columns.inflight[pool.rows].tolist())
    assert counts == {25.0: 8}


def test_long_requests_keep_counting_after_a_scrape_says_nothing_waits(build_pool: Any) -> None:
    pool = build_pool((0, 0.0, set()), (0, 0.0, set()))
    busy = pool.endpoints[0]
    for _ in range(10):
        pool.acquire(busy, 100)
    for endpoint in pool.endpoints:
        pool.record(endpoint, Readings(waiting=0, running=0, kv_usage=0.0), pool.begin_scrape(endpoint), 1.0)
    assert choose(pool, "m", STANDARD)[0] == "pod-1"


def test_metrics_that_never_came_do_not_stop_dispatch(objects: Any) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    for index in range(4):
        pool.put(objects.pod(f"pod-{index}", f"10.0.0.{index}"))
    rng = random.Random(3)
    for _ in range(40):
        decision = guide_profile().schedule(Cycle("m", STANDARD, pool.columns, rng), pool.rows)
        assert decision is not None
        pool.acquire(pool.endpoint(decision.rows[0]), 10)
    assert pool.columns.inflight[pool.rows].tolist() == [10, 10, 10, 10]


def test_thresholds_can_be_changed(build_pool: Any) -> None:
    pool = build_pool((6, 0.2, set()), (0, 0.95, set()))
    strict = guide_profile(GuideThresholds(queue=10, kv_cache=0.5))
    decision = strict.schedule(Cycle("m", STANDARD, pool.columns, random.Random(1)), pool.rows)
    assert decision is not None
    assert pool.endpoint(decision.rows[0]).pod == "pod-0"
