"""Where adapters are remembered to be in memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signalbox.pool import NEVER, Columns, Endpoint, ModelList, Pool, Readings
from signalbox.pool.residency import UNTOLD_SLOTS, Residency
from signalbox.signals import parse_metrics


def scrape(pool: Pool, endpoint: Endpoint, now: float, busy: set[str], *, slots: int = 2, **more: Any) -> None:
    readings = Readings(lora_active=frozenset(busy), lora_max=slots, **more)
    pool.record(endpoint, readings, pool.begin_scrape(endpoint), now)


def resident(pool: Pool, endpoint: Endpoint) -> set[str]:
    return {name for name, mask in pool.columns.resident.items() if mask[endpoint.row]}


@pytest.fixture
def one(build_pool: Any) -> tuple[Pool, Endpoint]:
    pool = build_pool((0, 0, set()))
    return pool, pool.endpoints[0]


def test_an_adapter_that_falls_idle_stays_resident(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    scrape(pool, endpoint, 1.0, {"a"})
    scrape(pool, endpoint, 2.0, set())
    assert pool.columns.adapters == {}
    assert resident(pool, endpoint) == {"a"}
    assert (pool.columns.lora_active[endpoint.row], pool.columns.lora_resident[endpoint.row]) == (0, 1)
    assert pool.columns.lora_idle_since[endpoint.row] == 1.0


def test_the_adapter_used_longest_ago_makes_way(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    for now, name in enumerate(("a", "b", "a", "c")):
        scrape(pool, endpoint, float(now), {name})
    assert resident(pool, endpoint) == {"a", "c"}
    assert pool.columns.lora_resident[endpoint.row] == 2


def test_a_busy_adapter_never_makes_way(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    scrape(pool, endpoint, 1.0, {"a", "b", "c"}, slots=2)
    assert resident(pool, endpoint) == {"a", "b", "c"}
    assert pool.columns.lora_idle_since[endpoint.row] == NEVER
    scrape(pool, endpoint, 2.0, {"c"}, slots=2)
    assert len(resident(pool, endpoint)) == 2
    assert "c" in resident(pool, endpoint)


def test_a_running_and_waiting_adapter_takes_one_slot(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    page = 'vllm:lora_requests_info{max_lora="2",running_lora_adapters="a",waiting_lora_adapters="a"} 5\n'
    pool.record(endpoint, parse_metrics(page), pool.begin_scrape(endpoint), 1.0)
    assert (pool.columns.lora_active[endpoint.row], pool.columns.lora_resident[endpoint.row]) == (1, 1)


def test_an_answer_tells_that_the_adapter_is_there(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    pool.record_models(endpoint, ModelList(frozenset({"base", "a"}), frozenset({"a"})))
    pool.model_answered(endpoint, "base", 1.0)
    pool.model_answered(endpoint, "a", 1.0)
    pool.model_answered(endpoint, "nobody-knows", 1.0)
    assert resident(pool, endpoint) == {"a"}


def test_without_a_number_of_slots_some_are_remembered(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    names = [f"a{number}" for number in range(UNTOLD_SLOTS + 3)]
    pool.record_models(endpoint, ModelList(frozenset(names), frozenset(names)))
    for now, name in enumerate(names):
        pool.model_answered(endpoint, name, float(now))
    assert resident(pool, endpoint) == set(names[3:])


def test_the_gauge_is_the_truth_where_there_is_one(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    scrape(pool, endpoint, 1.0, {"a"}, lora_resident=frozenset({"a", "b", "c"}), slots=4)
    assert resident(pool, endpoint) == {"a", "b", "c"}
    assert pool.columns.lora_idle_since[endpoint.row] == NEVER
    scrape(pool, endpoint, 2.0, {"c"}, lora_resident=frozenset({"c"}), slots=4)
    pool.model_answered(endpoint, "a", 3.0)
    assert resident(pool, endpoint) == {"c"}


def test_a_gauge_on_a_page_without_the_list_of_busy_adapters(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    pool.record(endpoint, Readings(lora_resident=frozenset({"a"}), lora_max=2), pool.begin_scrape(endpoint), 1.0)
    assert resident(pool, endpoint) == {"a"}


def test_a_server_that_refuses_or_no_longer_lists_an_adapter_does_not_have_it(one: tuple[Pool, Endpoint]) -> None:
    pool, endpoint = one
    scrape(pool, endpoint, 1.0, {"a", "b"})
    scrape(pool, endpoint, 2.0, set())
    pool.model_refused(endpoint, "a")
    assert resident(pool, endpoint) == {"b"}
    pool.record_models(endpoint, ModelList(frozenset({"base"})))
    assert resident(pool, endpoint) == set()
    assert not pool.columns.is_adapter("b")


def test_an_endpoint_that_left_is_forgotten_with_its_row(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    first, second = pool.endpoints
    scrape(pool, first, 1.0, {"a"})
    pool.record_models(first, ModelList(frozenset({"a"}), frozenset({"a"})))
    pool.remove(objects.pod(first.pod, "").key)
    assert pool.endpoints == (second,)
    assert (pool.columns.resident, pool.columns.loaded, pool.columns.listed_rows) == ({}, {}, 0)
    pool.put(objects.pod("new", "10.9.9.9"))
    assert resident(pool, pool.endpoints[0]) == set()
    pool.model_answered(first, "a", 2.0)
    pool.record_models(first, ModelList(frozenset({"a"}), frozenset({"a"})))
    assert (pool.columns.resident, pool.columns.loaded) == ({}, {})


def test_columns_that_grow_keep_what_is_known(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()))
    first = pool.endpoints[0]
    scrape(pool, first, 1.0, {"a"})
    pool.record_models(first, ModelList(frozenset({"a"}), frozenset({"a"})))
    before = int(pool.columns.identity[first.row])
    for number in range(20):
        pool.put(objects.pod(f"p{number}", f"10.0.0.{number}"))
    rows = pool.rows
    assert resident(pool, first) == {"a"}
    assert pool.columns.loaded["a"].sum() == pool.columns.listed.sum() == 1
    assert int(pool.columns.identity[first.row]) == before
    assert len(set(pool.columns.identity[rows].tolist())) == 21


class Memory(RuleBasedStateMachine):
    """Scrapes, answers, refusals and departures in any order: the columns agree, and busy adapters are all resident."""

    names = st.sampled_from("abcdef")

    def __init__(self) -> None:
        super().__init__()
        self.columns = Columns()
        self.columns.lora_max[:] = [0, 1, 2, 3, 4, 5, 6, 7]
        self.residency = Residency(self.columns)
        self.gauge: dict[int, frozenset[str]] = {}
        self.now = 0.0

    @rule(row=st.integers(0, 4), busy=st.frozensets(names), gauge=st.none() | st.frozensets(names))
    def scrape(self, row: int, busy: frozenset[str], gauge: frozenset[str] | None) -> None:
        self.now += 1
        self.columns.set_adapters(row, busy)
        self.residency.reported(row, busy, gauge, self.now)
        if gauge is not None:
            self.gauge[row] = gauge | busy
        elif row in self.gauge:
            self.gauge[row] |= busy

    @rule(row=st.integers(0, 4), name=names)
    def answered(self, row: int, name: str) -> None:
        self.now += 1
        self.residency.answered(row, name, self.now)

    @rule(row=st.integers(0, 4), kept=st.frozensets(names))
    def listed(self, row: int, kept: frozenset[str]) -> None:
        self.columns.set_adapters(row, frozenset())
        self.residency.keep_only(row, kept)
        if row in self.gauge:
            self.gauge[row] &= kept

    @rule(row=st.integers(0, 4))
    def leave(self, row: int) -> None:
        slots = self.columns.lora_max[row]
        self.residency.forget(row)
        self.columns.clear(row)
        self.columns.lora_max[row] = slots
        self.gauge.pop(row, None)

    @invariant()
    def columns_agree(self) -> None:
        for row in range(5):
            names = {name for name, mask in self.columns.resident.items() if mask[row]}
            busy = {name for name, mask in self.columns.adapters.items() if mask[row]}
            assert busy <= names
            assert self.columns.lora_resident[row] == len(names)
            if row in self.gauge:
                assert names == self.gauge[row]
            else:
                assert len(names) <= max(int(self.columns.lora_max[row] or UNTOLD_SLOTS), len(busy))
            assert (self.columns.lora_idle_since[row] <= self.now) or not names - busy


Memory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemory: Any = Memory.TestCase


def test_a_gauge_that_is_gone_decides_no_more(one: tuple[Pool, Endpoint]) -> None:
    """The server was replaced by a release without the gauge."""
    pool, endpoint = one
    scrape(pool, endpoint, 1.0, set(), lora_resident=frozenset({"a"}), slots=4)
    pool.record_models(endpoint, ModelList(frozenset({"a", "b"}), frozenset({"a", "b"})))
    scrape(pool, endpoint, 2.0, set(), slots=4)
    pool.model_answered(endpoint, "b", 3.0)
    assert resident(pool, endpoint) == {"a", "b"}
    for now, name in enumerate("cdef", 4):
        scrape(pool, endpoint, float(now), {name}, slots=4)
    assert resident(pool, endpoint) == set("cdef")


def test_who_gets_the_row_of_a_server_with_the_gauge_need_not_have_it(one: tuple[Pool, Endpoint], objects: Any) -> None:
    pool, endpoint = one
    scrape(pool, endpoint, 1.0, set(), lora_resident=frozenset({"a"}))
    pool.remove(objects.pod(endpoint.pod, "").key)
    assert [*pool.endpoints] == []
    pool.put(objects.pod("successor", "10.0.0.9"))
    (successor,) = pool.endpoints
    assert successor.row == endpoint.row
    pool.record_models(successor, ModelList(frozenset({"b"}), frozenset({"b"})))
    pool.model_answered(successor, "b", 2.0)
    assert resident(pool, successor) == {"b"}
