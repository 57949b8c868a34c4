"""How large the index's blocks are and how much each endpoint is believed to keep."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from signalbox.director import Arrival, Director, policy_rules
from signalbox.director.prefixes import PrefixTracker
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


@pytest.fixture
def pool(build_pool: Any) -> Pool:
    built: Pool = build_pool((0, 0, set()), (0, 0, set()))
    return built


def report(pool: Pool, number: int, **readings: Any) -> None:
    endpoint = pool.endpoints[number]
    pool.record(endpoint, Readings(**readings), pool.begin_scrape(endpoint), 1.0)


def tracker(pool: Pool, **parameters: Any) -> PrefixTracker:
    """The index after one request under the parameters."""
    producer = json.dumps(parameters)
    named = f"{{type: approx-prefix-cache-producer, parameters: {producer}}}"
    text = f"{HEAD}plugins: [{{type: prefix-cache-scorer}}, {named}]"
    to = Director(pool, policy_rules(load_policy(text, name="t.yaml"), pool), rng=random.Random(1))
    to.arrive(Arrival("/v1/completions", b'{"model": "m", "prompt": "x"}'), 1.0)
    assert to.rules.prefix is not None
    return to.rules.prefix


def capacities(pool: Pool, **parameters: Any) -> list[int]:
    known = tracker(pool, **parameters)._index._capacities
    return [known[endpoint.row] for endpoint in pool.endpoints]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, 64),
        ({"blockSizeTokens": 16}, 64),
        ({"blockSizeTokens": 128}, 128),
        ({"blockSizeTokens": 128, "autoTune": False}, 128),
        ({"blockSizeTokens": 32, "autoTune": False}, 32),
    ],
)
def test_while_no_engine_reports_its_block_size_the_file_says_it(
    pool: Pool, parameters: dict[str, Any], expected: int
) -> None:
    assert tracker(pool, **parameters)._index.block_size == expected


@pytest.mark.parametrize(("reported", "expected"), [(16, 64), (128, 128), (256, 256)])
def test_an_engine_that_reports_its_block_size_knows_better(pool: Pool, reported: int, expected: int) -> None:
    report(pool, 0, block_size=reported)
    assert tracker(pool, blockSizeTokens=512)._index.block_size == expected


def test_what_an_engine_reports_beside_the_device_is_added(pool: Pool) -> None:
    report(pool, 0, block_size=16, kv_blocks=1000, offload_tokens=50_000)
    report(pool, 1, block_size=16, kv_blocks=1000)
    assert capacities(pool) == [66_000, 16_000]


def test_where_it_reports_nothing_the_parameter_is(pool: Pool) -> None:
    report(pool, 0, block_size=16, kv_blocks=1000, offload_tokens=50_000)
    report(pool, 1, block_size=16, kv_blocks=1000)
    assert capacities(pool, offloadTokensPerServer=7_000) == [66_000, 23_000]


@pytest.mark.parametrize("tuned", [True, False])
def test_it_is_added_to_a_configured_capacity_as_well(pool: Pool, tuned: bool) -> None:
    parameters = {"autoTune": tuned, "lruCapacityPerServer": 100, "blockSizeTokens": 64}
    assert capacities(pool, offloadTokensPerServer=7_000, **parameters) == [13_400, 13_400]


def test_without_auto_tune_nothing_that_is_reported_counts(pool: Pool) -> None:
    report(pool, 0, block_size=16, kv_blocks=1000, offload_tokens=50_000)
    parameters = {"autoTune": False, "lruCapacityPerServer": 100, "blockSizeTokens": 64}
    assert capacities(pool, **parameters) == [6_400, 6_400]


def test_a_tier_that_is_reported_later_is_taken_up(pool: Pool) -> None:
    known = tracker(pool)
    before = known._index._capacities[pool.endpoints[0].row]
    report(pool, 0, offload_tokens=50_000)
    assert pool.columns.capacity_changes == 1
    known._settle()
    assert known._index._capacities[pool.endpoints[0].row] == before + 50_000
