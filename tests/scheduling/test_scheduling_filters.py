"""Each filter of the guide's tree, by table."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Columns, Pool, Rows
from signalbox.scheduling import Cycle
from signalbox.scheduling.filters import (
    HasCapacity,
    LeastKVCache,
    LeastQueuing,
    LoRAAffinity,
    LowQueue,
    Reachable,
)


def cycle(pool: Pool, target: str = "model", priority: int = 0, seed: int = 1) -> Cycle:
    return Cycle(target, priority, pool.columns, random.Random(seed))


def kept(pool: Pool, rows: Rows) -> list[int]:
    return [int(pool.endpoint(row).pod.removeprefix("pod-")) for row in rows.tolist()]


@pytest.mark.parametrize(
    ("queues", "expected"),
    [([], []), ([5], [0]), ([0, 3, 10], [0, 1]), ([4, 4, 4], [0, 1, 2]), ([0, 1], [0]), ([0, 2, 2], [0])],
)
def test_least_queuing_keeps_the_lowest_nth_of_the_range(
    build_pool: Any, queues: list[int], expected: list[int]
) -> None:
    pool = build_pool(*[(queue, 0.0, set()) for queue in queues])
    assert kept(pool, LeastQueuing().keep(cycle(pool), pool.rows)) == expected


@pytest.mark.parametrize(
    ("usages", "expected"), [([], []), ([0.9], [0]), ([0, 0.3, 1.0], [0, 1]), ([0.5, 0.5], [0, 1]), ([0.2, 0.9], [0])]
)
def test_least_kv_keeps_the_lowest_nth_of_the_range(build_pool: Any, usages: list[float], expected: list[int]) -> None:
    pool = build_pool(*[(0, usage, set()) for usage in usages])
    assert kept(pool, LeastKVCache().keep(cycle(pool), pool.rows)) == expected


def test_has_capacity_is_inclusive_on_both_thresholds(build_pool: Any) -> None:
    pool = build_pool((5, 0.8, set()), (6, 0.0, set()), (0, 0.81, set()), (0, 0.3, set()))
    assert kept(pool, HasCapacity().keep(cycle(pool), pool.rows)) == [0, 3]
    assert kept(pool, HasCapacity(queue=0, kv_cache=1).keep(cycle(pool), pool.rows)) == [2, 3]


def test_has_capacity_looks_at_what_servers_report_not_at_a_burst_between_scrapes(build_pool: Any) -> None:
    pool = build_pool((0, 0.0, set()))
    for _ in range(100):
        pool.acquire(pool.endpoints[0], 100)
    assert kept(pool, HasCapacity().keep(cycle(pool), pool.rows)) == [0]


def test_low_queue_is_exclusive(build_pool: Any) -> None:
    pool = build_pool((127, 0.0, set()), (128, 0.0, set()))
    assert kept(pool, LowQueue().keep(cycle(pool), pool.rows)) == [0]


@pytest.mark.parametrize(
    ("adapters", "lora_max", "expected"),
    [
        pytest.param([{"model"}, {"other"}], 1, [0], id="only where it is active: the other is full"),
        pytest.param([{"a", "b"}, {"a"}], 2, [1], id="active nowhere: where there is room"),
        pytest.param([{"a", "b"}, {"c", "d"}], 2, [0, 1], id="neither: undecided"),
        pytest.param([set(), set()], 0, [0, 1], id="servers without adapters: undecided"),
    ],
)
def test_lora_affinity_groups(build_pool: Any, adapters: list[set[str]], lora_max: int, expected: list[int]) -> None:
    pool = build_pool(*[(0, 0.0, names) for names in adapters], lora_max=lora_max)
    assert kept(pool, LoRAAffinity().keep(cycle(pool), pool.rows)) == expected


def test_lora_affinity_prefers_the_active_endpoint_by_its_probability(build_pool: Any) -> None:
    pool = build_pool((0, 0.0, {"model"}), (0, 0.0, set()), lora_max=2)
    one_cycle = cycle(pool, seed=420)
    plugin = LoRAAffinity(0.9)
    shares = [kept(pool, plugin.keep(one_cycle, pool.rows)) for _ in range(10_000)]
    assert 8_700 < shares.count([0]) < 9_300
    assert shares.count([0]) + shares.count([1]) == 10_000


def test_reachable_leaves_out_what_stopped_answering_unless_nothing_answers(build_pool: Any) -> None:
    pool = build_pool((0, 0.0, set()), (0, 0.0, set()))
    first, second = pool.endpoints
    for _ in range(3):
        pool.scrape_failed(first, 1.0)
    assert kept(pool, Reachable().keep(cycle(pool), pool.rows)) == [1]
    for _ in range(3):
        pool.scrape_failed(second, 1.0)
    assert kept(pool, Reachable().keep(cycle(pool), pool.rows)) == [0, 1]


def test_one_good_scrape_makes_an_endpoint_reachable_again(build_pool: Any) -> None:
    pool = build_pool((0, 0.0, set()), (0, 0.0, set()))
    first = pool.endpoints[0]
    for _ in range(5):
        pool.scrape_failed(first, 1.0)
    from signalbox.pool import Readings

    pool.record(first, Readings(), pool.begin_scrape(first), 2.0)
    assert kept(pool, Reachable().keep(cycle(pool), pool.rows)) == [0, 1]


@given(
    st.lists(st.tuples(st.integers(0, 200), st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    st.sampled_from([LeastQueuing(), LeastKVCache(), LoRAAffinity(), Reachable(), LowQueue(), HasCapacity()]),
    st.randoms(use_true_random=False),
)
def test_a_filter_returns_some_of_its_rows_in_their_order(
    state: list[tuple[int, float, bool]], plugin: Any, rng: random.Random
) -> None:
    columns = Columns()
    while columns.size < len(state):
        columns.grow()
    for row, (queue, usage, active) in enumerate(state):
        columns.waiting[row], columns.kv_usage[row], columns.lora_max[row] = queue, usage, 2
        columns.set_adapters(row, frozenset({"model"}) if active else frozenset())
    rows = np.arange(len(state))
    result = plugin.keep(Cycle("model", 0, columns, rng), rows).tolist()
    assert result == sorted(set(result) & set(rows.tolist()))
    if isinstance(plugin, LeastQueuing | LeastKVCache | LoRAAffinity | Reachable):
        assert result, "these never leave a request without a candidate"
