"""Where requests for LoRA adapters go."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import Objects

from signalbox.pool import ModelList, Pool, Readings
from signalbox.pool.residency import UNTOLD_SLOTS
from signalbox.scheduling import Cycle, guide_profile
from signalbox.scheduling.filters import LoRAAffinity
from signalbox.scheduling.lora import place
from signalbox.scheduling.lora.placement import BOUND, SLACK
from signalbox.scheduling.scorers import LoRAAffinityScorer

ADAPTERS = frozenset(f"adapter-{number}" for number in range(200)) | {"cold"}


def servers(count: int, *, slots: int = 2, order: Sequence[int] | None = None) -> Pool:
    """Idle servers 10.0.0.0, 10.0.0.1, ... that list every adapter; ``order`` is in which they became known."""
    objects, pool = Objects(), Pool("pool")
    pool.set_pool(objects.pool())
    for index in order or range(count):
        pool.put(objects.pod(f"pod-{index}", f"10.0.0.{index}"))
        assert pool.endpoints
    for endpoint in pool.endpoints:
        pool.record_models(endpoint, ModelList(ADAPTERS | {"base"}, ADAPTERS))
        pool.record(endpoint, Readings(0, 0, 0.0, None, None, frozenset(), slots), pool.begin_scrape(endpoint), 0.0)
    return pool


def holds(pool: Pool, index: int, *adapters: str, at: float, busy: bool = False) -> None:
    """The server 10.0.0.``index`` serves the adapters one after another, and then none unless ``busy``."""
    endpoint = next(e for e in pool.endpoints if e.host == f"10.0.0.{index}")
    for step, adapter in enumerate(adapters):
        reading = Readings(lora_active=frozenset({adapter}))
        pool.record(endpoint, reading, pool.begin_scrape(endpoint), at + step / 10)
    active = frozenset(adapters) if busy else frozenset[str]()
    pool.record(endpoint, Readings(lora_active=active), pool.begin_scrape(endpoint), at + 1)


def placed(pool: Pool, adapter: str = "cold") -> str | None:
    row = place(pool.columns, adapter, pool.rows)
    return None if row is None else pool.endpoint(row).host


def homes(pool: Pool) -> dict[str, str | None]:
    return {adapter: placed(pool, adapter) for adapter in ADAPTERS}


def cycle(pool: Pool, target: str = "cold", priority: int = 0) -> Cycle:
    return Cycle(target, priority, pool.columns, random.Random(1))


def test_every_picker_places_an_adapter_alike_whatever_the_order_of_its_rows() -> None:
    assert homes(servers(5)) == homes(servers(5, order=[3, 0, 4, 2, 1]))


def test_adapters_are_spread_over_the_servers() -> None:
    counts = Counter(homes(servers(5)).values())
    assert len(counts) == 5
    assert min(counts.values()) > 20


def test_a_server_that_comes_takes_only_the_adapters_that_are_its_own() -> None:
    before, after = homes(servers(5)), homes(servers(6))
    assert {after[adapter] for adapter in ADAPTERS if before[adapter] != after[adapter]} == {"10.0.0.5"}


def test_a_free_slot_comes_before_a_slot_in_use() -> None:
    pool = servers(3)
    holds(pool, 0, "adapter-1", "adapter-2", at=1)
    holds(pool, 2, "adapter-3", "adapter-4", at=1)
    assert set(homes(pool).values()) == {"10.0.0.1"}


def test_without_a_free_slot_the_adapter_that_was_used_longest_ago_is_displaced() -> None:
    pool = servers(3)
    for index, at in enumerate((30.0, 10.0, 20.0)):
        holds(pool, index, f"adapter-{2 * index}", f"adapter-{2 * index + 1}", at=at)
    assert placed(pool) == "10.0.0.1"
    holds(pool, 1, "adapter-2", "adapter-3", at=40.0)
    assert placed(pool) == "10.0.0.2"


def test_a_busy_adapter_is_not_displaced_and_where_all_are_busy_there_is_no_place() -> None:
    pool = servers(2, slots=1)
    holds(pool, 0, "adapter-1", at=1, busy=True)
    holds(pool, 1, "adapter-2", at=5)
    assert placed(pool) == "10.0.0.1"
    holds(pool, 1, "adapter-2", at=7, busy=True)
    assert placed(pool) is None


def test_servers_without_lora_are_no_place() -> None:
    pool = servers(3, slots=0)
    for endpoint in pool.endpoints:
        pool.record_models(endpoint, ModelList(frozenset({"base"})))
    assert placed(pool) is None


@pytest.mark.parametrize("profile", ["guide", "filter", "scorer"])
def test_servers_that_list_an_adapter_and_tell_no_slots_have_one_place_for_it(profile: str) -> None:
    """SGLang, or a vLLM whose first adapter has had no request yet: no metric says how many fit a batch."""
    pool = servers(8, slots=0)
    home = placed(pool)
    assert home is not None
    asked = cycle(pool)
    if profile == "scorer":
        scores = LoRAAffinityScorer().score(asked, pool.rows)
        assert sorted(scores) == [0] * 7 + [0.8]
        chosen = int(pool.rows[scores.argmax()])
    elif profile == "filter":
        (chosen,) = LoRAAffinity().keep(asked, pool.rows).tolist()
        assert LoRAAffinity().keep_few(asked, pool.rows.tolist()) == [chosen]
    else:
        decision = guide_profile().schedule(asked, pool.rows)
        assert decision is not None
        chosen = decision.rows[0]
    assert pool.endpoint(chosen).host == home


def test_a_loaded_server_is_passed_over_until_the_others_catch_up() -> None:
    pool = servers(4)
    home = placed(pool)
    chosen = []
    for _ in range(40):
        row = place(pool.columns, "cold", pool.rows)
        assert row is not None
        pool.acquire(pool.endpoint(row), 100)
        chosen.append(pool.endpoint(row).host)
    assert chosen[:3] == [home] * 3
    counts = Counter(chosen)
    assert len(counts) >= 3
    assert max(counts.values()) <= BOUND * 40 / 4 + SLACK + 1


def test_the_filter_sends_every_request_for_a_cold_adapter_to_one_place() -> None:
    pool = servers(5)
    kept = LoRAAffinity().keep(cycle(pool), pool.rows)
    assert [pool.endpoint(row).host for row in kept.tolist()] == [placed(pool)]


def test_a_base_model_is_not_placed() -> None:
    pool = servers(5)
    assert LoRAAffinity().keep(cycle(pool, "base"), pool.rows).tolist() == pool.rows.tolist()
    assert LoRAAffinityScorer().score(cycle(pool, "base"), pool.rows).tolist() == [0.8] * 5


def test_an_idle_adapter_is_found_where_it_was_served() -> None:
    pool = servers(5)
    endpoint = next(e for e in pool.endpoints if e.host != placed(pool))
    pool.model_answered(endpoint, "cold", 1.0)
    for _ in range(20):
        assert LoRAAffinity().keep(cycle(pool), pool.rows).tolist() == [endpoint.row]
    scores = LoRAAffinityScorer().score(cycle(pool), pool.rows)
    assert scores.tolist() == [1.0 if row == endpoint.row else 0.8 for row in pool.rows]


def test_the_scorer_favours_the_place_of_a_cold_adapter_and_full_servers_least() -> None:
    pool = servers(4)
    holds(pool, 0, "adapter-1", "adapter-2", at=1, busy=True)
    scores = LoRAAffinityScorer().score(cycle(pool), pool.rows)
    by_host = {pool.endpoint(row).host: score for row, score in zip(pool.rows.tolist(), scores, strict=True)}
    assert by_host["10.0.0.0"] == 0
    assert by_host.pop(placed(pool) or "") == 0.8
    assert sorted(by_host.values()) == [0, 0.6, 0.6]


@pytest.mark.parametrize("priority", [0, 1])
def test_under_the_guides_tree_a_cold_adapters_requests_meet_on_one_server(priority: int) -> None:
    pool = servers(8)
    profile = guide_profile()
    hosts = set()
    for _ in range(20):
        decision = profile.schedule(cycle(pool, priority=priority), pool.rows)
        assert decision is not None
        assert len(set(decision.rows)) == 3
        hosts.add(pool.endpoint(decision.rows[0]).host)
    assert hosts == {placed(pool)}


@given(data=st.data(), count=st.integers(1, 8))
def test_a_place_is_one_of_the_candidates_and_has_a_slot_that_is_not_busy(data: Any, count: int) -> None:
    pool = servers(count)
    columns, rng = pool.columns, np.random.default_rng(data.draw(st.integers(0, 10**6)))
    for name, most in (("lora_max", 3), ("lora_active", 3), ("lora_resident", 4), ("running", 9), ("waiting", 9)):
        getattr(columns, name)[:] = rng.integers(0, most, columns.size)
    rows = pool.rows[rng.random(count) < 0.7]
    row = place(columns, "cold", rows)
    slots = np.where(columns.lora_max > 0, columns.lora_max, UNTOLD_SLOTS)
    if row is None:
        assert not (columns.lora_resident[rows] < slots[rows]).any()
        assert not (columns.lora_active[rows] < slots[rows]).any()
    else:
        assert row in rows
        assert slots[row] > min(columns.lora_resident[row], columns.lora_active[row])
