"""Which pods are endpoints, and what is counted on them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.conftest import Objects

from signalbox.pool import ACTIVE_PORTS_ANNOTATION, NEVER, PORT_ANNOTATION, Charge, Endpoint, Pool, Readings


def addresses(pool: Pool) -> list[str]:
    return sorted(endpoint.address for endpoint in pool.endpoints)


def test_only_ready_selected_pods_of_the_namespace_that_are_not_terminating(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    pool.put(objects.pod("not-ready", "10.0.0.2", ready=False))
    pool.put(objects.pod("other-label", "10.0.0.3", labels={"app": "x"}))
    pool.put(objects.pod("other-namespace", "10.0.0.4", namespace="elsewhere"))
    pool.put(objects.pod("terminating", "10.0.0.5", terminating=True))
    pool.put(objects.pod("no-address", ""))
    assert addresses(pool) == ["10.0.0.1:8000"]


def test_the_rows_that_plugins_are_given_cannot_be_written_to(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    pool.put(objects.pod("b", "10.0.0.2"))
    with pytest.raises(ValueError, match="read-only"):
        pool.rows[:] = 0
    assert pool.rows.tolist() == [0, 1]


def test_before_the_pool_is_known_there_are_no_endpoints_and_pods_are_kept_for_it(objects: Objects) -> None:
    pool = Pool("pool")
    pool.put(objects.pod("a", "10.0.0.1"))
    assert not pool.endpoints
    pool.set_pool(objects.pool())
    assert addresses(pool) == ["10.0.0.1:8000"]
    pool.set_pool(None)
    assert not pool.endpoints


def test_a_pod_that_loses_readiness_leaves_and_comes_back(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    before = pool.version
    pool.put(objects.pod("a", "10.0.0.1", ready=False))
    assert not pool.endpoints
    pool.put(objects.pod("a", "10.0.0.1"))
    assert addresses(pool) == ["10.0.0.1:8000"]
    assert pool.version == before + 2


def test_an_update_that_changes_nothing_is_not_a_new_version(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    before = pool.version
    pool.put(objects.pod("a", "10.0.0.1"))
    assert pool.version == before


def test_several_target_ports_are_ranks(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool(ports=(8000, 8001)))
    pool.put(objects.pod("a", "10.0.0.1"))
    assert [(e.name, e.port) for e in pool.endpoints] == [("a-rank-0", 8000), ("a-rank-1", 8001)]
    pool.set_pool(objects.pool(ports=(8001,)))
    assert [(e.name, e.port) for e in pool.endpoints] == [("a", 8001)]


@pytest.mark.parametrize(
    ("port", "expected"), [("9000", 9000), ("0", 8000), ("70000", 8000), ("-1", 8000), ("x", 8000)]
)
def test_a_pod_may_name_a_port_of_its_own(objects: Objects, port: str, expected: int) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    written = objects.pod("a", "10.0.0.1")
    metadata = written.metadata.model_copy(update={"annotations": {PORT_ANNOTATION: port}})  # no parser saw it
    pool.put(written.model_copy(update={"metadata": metadata}))
    assert [(endpoint.name, endpoint.port) for endpoint in pool.endpoints] == [("a", expected)]


@pytest.mark.parametrize(
    ("listed", "ranks"),
    [
        (None, [0, 1, 2]),
        ("8001", [1]),
        (" 8002 ,8000", [0, 2]),
        ("8000,8000", [0]),
        ("8001,9000,-8002,eight,8000.0,,\u0668\u0660\u0660\u0660", [1]),
        ("9" * 5000, []),
        ("", []),
        (" ", []),
    ],
)
def test_a_pod_may_serve_some_of_the_target_ports(objects: Objects, listed: str | None, ranks: list[int]) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool(ports=(8000, 8001, 8002)))
    pool.put(objects.pod("a", "10.0.0.1", annotations=None if listed is None else {ACTIVE_PORTS_ANNOTATION: listed}))
    assert [(e.name, e.port) for e in pool.endpoints] == [(f"a-rank-{rank}", 8000 + rank) for rank in ranks]


def test_ranks_come_and_go_with_the_annotation_and_the_others_stay(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool(ports=tuple(range(8000, 8008))))
    pool.put(objects.pod("a", "10.0.0.1"))
    last = pool.endpoints[-1]
    charge = pool.acquire(last, 10)
    pool.put(objects.pod("a", "10.0.0.1", annotations={ACTIVE_PORTS_ANNOTATION: "8003,8007"}))
    assert [(e.name, e.row) for e in pool.endpoints] == [("a-rank-3", 3), ("a-rank-7", last.row)]
    assert pool.columns.inflight[last.row] == 1
    pool.release(charge)


def test_a_port_of_the_pods_own_takes_the_place_of_all_target_ports(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool(ports=(8000, 8001)))
    pool.put(objects.pod("a", "10.0.0.1", annotations={PORT_ANNOTATION: "9000", ACTIVE_PORTS_ANNOTATION: "8000"}))
    assert [(e.name, e.port) for e in pool.endpoints] == [("a", 9000)]


def test_ipv6_addresses_have_brackets(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "fd00::1"))
    assert addresses(pool) == ["[fd00::1]:8000"]
    assert len(pool.subset(("[fd00::1]:8000",))) == 1
    assert len(pool.subset(("fd00::1",))) == 1


def test_a_subset_hint_is_an_address_or_a_host(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool(ports=(8000, 8001)))
    pool.put(objects.pod("a", "10.0.0.1"))
    pool.put(objects.pod("b", "10.0.0.2"))
    assert [pool.endpoint(row).address for row in pool.subset(("10.0.0.2:8001",)).tolist()] == ["10.0.0.2:8001"]
    assert len(pool.subset(("10.0.0.1", "10.0.0.1:8000"))) == 2
    assert len(pool.subset(("10.0.0.9:8000",))) == 0
    assert len(pool.subset(())) == 0


def test_a_hundred_pods_grow_the_columns_and_keep_what_was_known(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("first", "10.0.0.1"))
    first = pool.endpoints[0]
    pool.record(first, Readings(waiting=7, lora_active=frozenset({"x"})), pool.begin_scrape(first), 1.0)
    for index in range(100):
        pool.put(objects.pod(f"p{index}", f"10.0.1.{index}"))
    assert len(pool.endpoints) == 101
    assert pool.columns.waiting[first.row] == 7
    assert pool.columns.adapters["x"].sum() == 1
    assert len({endpoint.row for endpoint in pool.endpoints}) == 101


def test_unreported_fields_keep_their_last_value(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    (endpoint,) = pool.endpoints
    full = Readings(2, 3, 0.5, 16, 1000, frozenset({"x", "y"}), 4)
    pool.record(endpoint, full, pool.begin_scrape(endpoint), 1.0)
    pool.record(endpoint, Readings(waiting=9), pool.begin_scrape(endpoint), 2.0)
    columns = pool.columns
    row = endpoint.row
    assert (columns.waiting[row], columns.running[row], columns.kv_usage[row]) == (9, 3, 0.5)
    assert (columns.block_size[row], columns.kv_blocks[row], columns.lora_max[row]) == (16, 1000, 4)
    assert set(columns.adapters) == {"x", "y"}
    pool.record(endpoint, Readings(lora_active=frozenset({"y"})), pool.begin_scrape(endpoint), 3.0)
    assert set(columns.adapters) == {"y"}
    assert columns.lora_active[row] == 1


def test_the_queue_counts_what_was_sent_since_the_scrape_began(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    (endpoint,) = pool.endpoints
    early = pool.acquire(endpoint, 10)
    mark = pool.begin_scrape(endpoint)
    late = pool.acquire(endpoint, 10)
    pool.record(endpoint, Readings(waiting=1), mark, 1.0)
    assert pool.columns.queue(pool.rows).tolist() == [2.0]
    pool.release(late)
    assert pool.columns.queue(pool.rows).tolist() == [1.0]
    pool.release(early)
    assert pool.columns.queue(pool.rows).tolist() == [0.0]


def test_kv_usage_counts_the_tokens_sent_since_the_scrape_where_capacity_is_known(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    endpoint = pool.endpoints[0]
    pool.record(endpoint, Readings(kv_usage=0.5), pool.begin_scrape(endpoint), 1.0)
    pool.acquire(endpoint, 160)
    assert pool.columns.kv(pool.rows).tolist() == [0.5]
    pool.record(endpoint, Readings(block_size=16, kv_blocks=100), pool.begin_scrape(endpoint), 2.0)
    pool.acquire(endpoint, 160)
    assert pool.columns.kv(pool.rows).tolist() == [0.6]


def test_an_endpoint_that_flaps_keeps_its_account_and_its_row(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    charge = pool.acquire(pool.endpoints[0], 10)
    pool.put(objects.pod("a", "10.0.0.1", ready=False))
    assert addresses(pool) == []
    pool.put(objects.pod("a", "10.0.0.1"))
    assert pool.columns.inflight[pool.endpoints[0].row] == 1
    pool.release(charge)
    assert pool.columns.inflight[pool.endpoints[0].row] == 0


def test_a_row_is_not_reused_while_a_request_refers_to_it(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    gone = objects.pod("a", "10.0.0.1")
    pool.put(gone)
    (endpoint,) = pool.endpoints
    charge = pool.acquire(endpoint, 10)
    pool.remove(gone.key)
    pool.put(objects.pod("b", "10.0.0.2"))
    assert pool.endpoints[0].row != endpoint.row
    pool.release(charge)
    assert pool.columns.inflight.sum() == 0
    pool.put(objects.pod("c", "10.0.0.3"))
    assert endpoint.row in {e.row for e in pool.endpoints}


def test_readings_of_an_endpoint_that_left_are_ignored(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pod = objects.pod("a", "10.0.0.1")
    pool.put(pod)
    (endpoint,) = pool.endpoints
    mark = pool.begin_scrape(endpoint)
    pool.remove(pod.key)
    assert not pool.endpoints
    pool.record(endpoint, Readings(waiting=50), mark, 1.0)
    pool.scrape_failed(endpoint, 1.0)
    assert pool.columns.waiting[endpoint.row] == 0
    assert pool.columns.scraped_at[endpoint.row] == NEVER


def test_moving_a_request_to_its_fallback(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pool.put(objects.pod("a", "10.0.0.1"))
    pool.put(objects.pod("b", "10.0.0.2"))
    a, b = pool.endpoints
    charge = pool.acquire(a, 10)
    pool.move(charge, b, 0)
    assert (pool.columns.inflight[a.row], pool.columns.inflight[b.row]) == (0, 1)
    assert (pool.columns.inflight_tokens[a.row], pool.columns.inflight_tokens[b.row]) == (0, 10)
    pool.release(charge)
    assert pool.columns.inflight.sum() == 0


def test_models_of_another_pool_or_namespace_are_not_ours(objects: Objects) -> None:
    pool = Pool("pool")
    pool.put(objects.model("theirs", pool="other"))
    assert pool.catalogue.open
    pool.put(objects.model("ours"))
    assert pool.catalogue.names == ("ours",)
    pool.put(objects.model("ours", pool="other"))
    assert pool.catalogue.open


class Membership(RuleBasedStateMachine):
    """Pods come, go and flap while requests begin and end: counts always add up, rows are never shared."""

    def __init__(self) -> None:
        super().__init__()
        self.objects = Objects()
        self.pool = Pool("pool")
        self.pool.set_pool(self.objects.pool())
        self.charges: list[Charge] = []
        self.ready: set[int] = set()

    @rule(index=st.integers(0, 12), ready=st.booleans())
    def put(self, index: int, ready: bool) -> None:
        self.pool.put(self.objects.pod(f"p{index}", f"10.0.0.{index}", ready=ready))
        (self.ready.add if ready else self.ready.discard)(index)

    @rule(index=st.integers(0, 12))
    def remove(self, index: int) -> None:
        self.pool.remove(self.objects.pod(f"p{index}", "").key)
        self.ready.discard(index)

    @rule(seed=st.integers(0, 1000), tokens=st.integers(0, 1000))
    def send(self, seed: int, tokens: int) -> None:
        if self.pool.endpoints:
            endpoint: Endpoint = random.Random(seed).choice(self.pool.endpoints)
            self.charges.append(self.pool.acquire(endpoint, tokens))

    @rule(seed=st.integers(0, 1000))
    def end(self, seed: int) -> None:
        if self.charges:
            self.pool.release(self.charges.pop(seed % len(self.charges)))

    @invariant()
    def counts_add_up(self) -> None:
        assert addresses(self.pool) == sorted(f"10.0.0.{index}:8000" for index in self.ready)
        assert self.pool.columns.inflight.sum() == len(self.charges)
        assert self.pool.columns.inflight_tokens.sum() == sum(c.prompt_tokens for c in self.charges)
        rows = {charge.endpoint.row for charge in self.charges} | {endpoint.row for endpoint in self.pool.endpoints}
        owners: dict[int, set[str]] = {}
        for endpoint in [c.endpoint for c in self.charges] + list(self.pool.endpoints):
            owners.setdefault(endpoint.row, set()).add(endpoint.address)
        assert all(len(owner) == 1 for owner in owners.values())
        assert len(rows) == len(owners)


Membership.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestMembership: Any = Membership.TestCase


def test_how_many_endpoints_are_failing_is_counted_through_recovery_and_departure(objects: Objects) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool())
    pods = [objects.pod(f"p{number}", f"10.0.0.{number}") for number in range(3)]
    for pod in pods:
        pool.put(pod)
    first, second, _ = pool.endpoints
    for endpoint in (first, first, second):
        pool.scrape_failed(endpoint, 1.0)
    assert pool.columns.failing == 2
    pool.record(first, Readings(), pool.begin_scrape(first), 2.0)
    pool.record(first, Readings(), pool.begin_scrape(first), 3.0)
    assert pool.columns.failing == 1
    pool.remove(next(pod for pod in pods if pod.metadata.name == second.pod).key)
    assert len(pool.endpoints) == 2
    assert pool.columns.failing == 0
