"""Metrics of what waits: under both names, and never more labels than a bound allows."""

from __future__ import annotations

import json
import random

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.conftest import BuildPool
from tests.extproc.one_room import FLOW

from signalbox.admission.flow import Flow
from signalbox.director import Arrival, Director, Refused, Routed, Wait, Waiting, guide_rules, policy_rules
from signalbox.observability import DecisionLog, FlowCollector, PickerMetrics, ReportedLoad
from signalbox.observability.decision_view import decision_view
from signalbox.observability.flow import MOST_FAIRNESS_IDS, PREFIXES, FlowCounts
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy


class Shown:
    """A director whose waits are counted, and the page of its metrics."""

    def __init__(self, pool: Pool) -> None:
        metrics = self.metrics = PickerMetrics(ReportedLoad(pool))
        rules = policy_rules(load_policy(FLOW, name="flow.yaml"), pool)
        self.director = Director(pool, rules, rng=random.Random(1), observer=metrics)
        self.registry = CollectorRegistry()
        self.registry.register(FlowCollector(metrics.flow, self.director, lambda: 5.0))
        self.counts = metrics.flow

    def ask(self, now: float, fairness_id: str = "") -> object:
        body = json.dumps({"model": "m", "prompt": "p"}).encode()
        return self.director.arrive(Arrival("/v1/completions", body, fairness_id=fairness_id), now)

    def value(self, name: str, **labels: str) -> float | None:
        values = {self.registry.get_sample_value(f"{prefix}_{name}", labels) for prefix in PREFIXES}
        assert len(values) == 1, "both names have the same value"
        return values.pop()


@pytest.fixture
def shown(build_pool: BuildPool) -> Shown:
    return Shown(build_pool((0, 0, set())))


def test_waits_are_counted_by_flow_and_outcome(shown: Shown) -> None:
    first = shown.ask(1.0)
    assert isinstance(first, Routed)
    assert first.ticket is not None
    second, third = shown.ask(1.0, "team"), shown.ask(1.0, "team")
    flow = {"fairness_id": "team", "priority": "0", "inference_pool": "pool"}
    assert shown.value("queue_size", **flow) == 2
    size = len(json.dumps({"model": "m", "prompt": "p"}))
    assert shown.value("queue_bytes", **flow) == 2 * size
    assert shown.value("pool_saturation", inference_pool="pool", stage="admission") == 1
    assert shown.value("pool_saturation", inference_pool="pool", stage="effective") == 1
    assert shown.value("capacity_utilization_requests", priority="0", inference_pool="pool") == 2 / 5000
    assert shown.value("capacity_utilization_bytes", priority="0", inference_pool="pool") == 2 * size / 1e9

    shown.director.finish(first.ticket, 3.0, outcome="complete", status=200)
    ((told, _),) = shown.director.dispatch(3.0)
    assert told is second
    assert isinstance(third, Waiting)
    shown.director.withdraw(third, 4.0)
    assert shown.value("queue_size", **flow) == 0
    assert shown.value("queue_bytes", **flow) == 0
    took = "request_queue_duration_seconds"
    assert shown.value(f"{took}_sum", **flow, outcome="Dispatched") == 2.0
    assert shown.value(f"{took}_bucket", **flow, outcome="Dispatched", le="2") == 1
    assert shown.value(f"{took}_bucket", **flow, outcome="Dispatched", le="1.5") == 0
    assert shown.value(f"{took}_sum", **flow, outcome="EvictedContextCancelled") == 3.0
    nobody = {"fairness_id": "default-flow", "priority": "0", "inference_pool": "pool"}
    assert shown.value(f"{took}_count", **nobody, outcome="Dispatched") == 1
    assert shown.value("requests_total", outcome="Dispatched", priority="0", inference_pool="pool") == 2


def test_looks_at_the_queues_are_timed(shown: Shown) -> None:
    shown.ask(1.0)
    shown.counts.looked(0.0015)
    assert shown.value("dispatch_cycle_duration_seconds_bucket", le="0.001") == 0
    assert shown.value("dispatch_cycle_duration_seconds_bucket", le="0.002") == 1
    assert shown.value("dispatch_cycle_duration_seconds_sum") == 0.0015


def test_fairness_ids_are_bounded() -> None:
    counts = FlowCounts()
    for number in range(MOST_FAIRNESS_IDS + 50):
        wait = Wait(Flow(f"client-{number}", 0), 1.0, queued=True)
        counts.queued(wait)
        wait.outcome = "Dispatched"
        counts.ended(wait)
    assert len(counts.seconds) == len(counts.requests) == MOST_FAIRNESS_IDS + 1
    assert counts.seconds["other", "0", "Dispatched"].count == 50
    assert set(counts.requests.values()) == {0}


def test_a_picker_in_which_nobody_ever_waited_shows_none_of_this(build_pool: BuildPool) -> None:
    director = Director(build_pool((0, 0, set())), guide_rules())
    registry = CollectorRegistry()
    registry.register(FlowCollector(FlowCounts(), director, lambda: 1.0))
    assert generate_latest(registry) == b""


def test_what_was_counted_stays_when_the_gate_is_switched_off(shown: Shown) -> None:
    shown.ask(1.0)
    shown.director.rules = guide_rules()
    assert shown.value("requests_total", outcome="Dispatched", priority="0", inference_pool="pool") == 1
    assert shown.value("pool_saturation", inference_pool="pool", stage="admission") is None


def test_requests_that_are_taken_back_from_their_servers_are_counted(shown: Shown) -> None:
    routed = shown.ask(1.0)
    assert isinstance(routed, Routed)
    assert routed.ticket is not None
    shown.metrics.taken_back(routed.ticket)
    assert shown.value("requests_total", outcome="EvictedPriority", priority="0", inference_pool="pool") == 1
    assert shown.value("requests_total", outcome="Dispatched", priority="0", inference_pool="pool") == 1


def test_explain_says_how_long_a_request_waited_where_and_behind_how_many(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    log = DecisionLog(pool)
    rules = policy_rules(load_policy(FLOW, name="flow.yaml"), pool)
    director = Director(pool, rules, rng=random.Random(1), journal=log)

    def ask(name: str) -> object:
        body = json.dumps({"model": "m", "prompt": "p"}).encode()
        return director.arrive(Arrival("/v1/completions", body, name, fairness_id="team"), 1.0)

    first = ask("straight")
    for name in ("turn", "late", "gone"):
        last = ask(name)
    assert isinstance(last, Waiting)
    director.withdraw(last, 2.0)
    assert isinstance(first, Routed)
    assert first.ticket is not None
    director.finish(first.ticket, 3.0, outcome="complete", status=200)
    director.dispatch(3.0)
    director.dispatch(50.0)
    waits = {}
    for name in ("straight", "turn", "late", "gone"):
        (entry,) = log.find(name)
        waits[name] = decision_view(entry, lambda seconds: seconds)["wait"]
    where = {"band": 0, "fairness_id": "team", "saturation": 1.0, "ceiling": 1.0}
    assert waits == {
        "straight": None,
        "turn": {"outcome": "Dispatched", "seconds": 2.0, "ahead": 0, **where},
        "late": {"outcome": "EvictedTTL", "seconds": 49.0, "ahead": 1, **where},
        "gone": {"outcome": "EvictedContextCancelled", "seconds": 1.0, "ahead": 2, **where},
    }


def test_endpoints_without_fresh_metrics_are_counted_where_the_detector_minds(build_pool: BuildPool) -> None:
    def stale(detector: str, fresh: int, at: float = 5.0) -> float | None:
        pool = build_pool(*[(0, 0, set())] * 3)
        for endpoint in pool.endpoints[:fresh]:
            pool.record(endpoint, Readings(waiting=0, kv_usage=0.0), pool.begin_scrape(endpoint), 4.9)
        text = FLOW.replace("concurrency-detector", detector)
        rules = policy_rules(load_policy(text.replace("parameters: {maxConcurrency: 1}", ""), name="x"), pool)
        registry = CollectorRegistry()
        registry.register(FlowCollector(FlowCounts(), Director(pool, rules), lambda: at))
        assert registry.get_sample_value(f"{PREFIXES[0]}_stale_endpoints", {"detector": detector}) is None
        return registry.get_sample_value(f"{PREFIXES[1]}_stale_endpoints", {"detector": detector})

    assert stale("utilization-detector", 3) == 0
    assert stale("utilization-detector", 2) == 1
    assert stale("utilization-detector", 3, at=60.0) == 3
    assert stale("concurrency-detector", 2) is None


def test_explain_keeps_requests_without_a_body_that_waited_and_were_refused(build_pool: BuildPool) -> None:
    pool = build_pool()
    log = DecisionLog(pool)
    text = FLOW + "  noEndpointRequestTTL: 100s\n"
    director = Director(pool, policy_rules(load_policy(text, name="flow.yaml"), pool), journal=log)
    late, gone = [director.arrive(Arrival("/v1/models", None, name), 1.0) for name in ("late", "gone")]
    assert isinstance(late, Waiting)
    assert isinstance(gone, Waiting)
    director.withdraw(gone, 2.0)
    assert director.dispatch(2.0) == []
    assert len(director.dispatch(102.0)) == 1
    kept = {name: decision_view(log.find(name)[0], lambda seconds: seconds) for name in ("late", "gone")}
    assert {name: (view["status"], view["wait"]["outcome"]) for name, view in kept.items()} == {
        "late": (503, "EvictedNoEndpoints"),
        "gone": (503, "EvictedContextCancelled"),
    }
    director.close(103.0)
    assert isinstance(director.arrive(Arrival("/v1/models", None, "closed"), 104.0), Refused)
    (entry,) = log.find("closed")
    assert decision_view(entry, lambda seconds: seconds)["wait"]["outcome"] == "EvictedOther"
