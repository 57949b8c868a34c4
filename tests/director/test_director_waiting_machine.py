"""Whatever happens to a pool whose requests wait: each of them is told exactly once, and all counts return to zero."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.conftest import Objects

from signalbox.director import Arrival, Director, Routed, Ticket, Wait, Waiting, policy_rules
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy

OBJECTS = Objects()

CONFIGURATIONS = [
    """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- {type: queue-scorer}
- {type: prefix-cache-scorer}
- {type: round-robin-fairness-policy}
- {type: concurrency-detector, parameters: {maxConcurrency: 2}}
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}, {pluginRef: prefix-cache-scorer}]}]
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  defaultRequestTTL: 5s
  maxRequests: "8"
  priorityBands: [{priority: 0, fairnessPolicyRef: round-robin-fairness-policy}]
""",
    """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}, {type: edf-ordering-policy}]
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}]}]
flowControl:
  defaultRequestTTL: 20s
  noEndpointRequestTTL: 3s
  priorityBands: [{priority: 0, maxRequests: "3", orderingPolicyRef: edf-ordering-policy}]
""",
    "",
]


class Watched:
    """Counts as metrics do."""

    def __init__(self) -> None:
        self.queued_now = 0
        self.in_flight = 0

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        pass

    def routed(self, ticket: Ticket, decision_seconds: float) -> None:
        self.in_flight += 1

    def finished(self, ticket: Ticket, completion: Any, now: float) -> None:
        self.in_flight -= 1

    def queued(self, wait: Wait) -> None:
        assert wait.outcome == ""
        self.queued_now += 1

    def dispatched(self, wait: Wait) -> None:
        assert wait.outcome == "Dispatched"
        self.queued_now -= int(wait.queued)

    def dropped(self, wait: Wait) -> None:
        assert wait.outcome not in ("", "Dispatched")
        self.queued_now -= int(wait.queued)


class WaitingPool(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1.0
        self.pool = Pool("pool")
        self.pool.set_pool(OBJECTS.pool())
        for name, priority in (("high", 5), ("low", -5)):
            self.pool.put(OBJECTS.objective(name, priority))
        self.pods: set[int] = set()
        self.watched = Watched()
        self.director = Director(
            self.pool,
            policy_rules(load_policy(CONFIGURATIONS[0], name="c.yaml"), self.pool),
            rng=random.Random(1),
            observer=self.watched,
        )
        self.waiting: list[Waiting] = []
        self.running: list[Ticket] = []
        self.closed = False

    def taken(self, outcome: object) -> None:
        if isinstance(outcome, Routed) and outcome.ticket is not None:
            self.running.append(outcome.ticket)

    @rule(
        objective=st.sampled_from([None, "high", "low"]),
        fairness_id=st.sampled_from(["", "a", "b"]),
        subset=st.sampled_from([None, None, ("192.168.1.1:8000",)]),
        body=st.booleans(),
    )
    def arrive(self, objective: str | None, fairness_id: str, subset: tuple[str, ...] | None, body: bool) -> None:
        content = json.dumps({"model": "m", "prompt": "Hello " * 50}).encode() if body else None
        arrival = Arrival(
            "/v1/completions", content, objective=objective, subset=subset, fairness_id=fairness_id, slo_ttft=2.0
        )
        outcome = self.director.arrive(arrival, self.now)
        if isinstance(outcome, Waiting):
            assert not self.closed
            self.waiting.append(outcome)
        else:
            self.taken(outcome)

    @rule()
    def dispatch(self) -> None:
        for waiting, outcome in self.director.dispatch(self.now):
            self.waiting.remove(waiting)  # which raises for one that was told before, or has left
            self.taken(outcome)

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiting = data.draw(st.sampled_from(range(len(self.waiting))))
        self.director.withdraw(self.waiting.pop(waiting), self.now)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=st.sampled_from(["complete", "cancelled", "server_error"]), first=st.booleans())
    def finish(self, data: st.DataObject, outcome: str, first: bool) -> None:
        ticket = self.running.pop(data.draw(st.sampled_from(range(len(self.running)))))
        if first:
            self.director.first_byte(ticket, self.now, 200)
        self.director.finish(ticket, self.now, outcome=outcome, status=200)

    @rule(number=st.integers(1, 3))
    def pod_comes_or_goes(self, number: int) -> None:
        pod = OBJECTS.pod(f"pod-{number}", f"192.168.1.{number}")
        if number in self.pods:
            self.pods.remove(number)
            self.pool.remove(pod.key)
        else:
            self.pods.add(number)
            self.pool.put(pod)

    @rule(waiting=st.sampled_from([0, 3, 20]))
    def scrape(self, waiting: int) -> None:
        for endpoint in self.pool.endpoints:
            readings = Readings(waiting=waiting, running=2, kv_usage=0.1)
            self.pool.record(endpoint, readings, self.pool.begin_scrape(endpoint), self.now)

    @rule(text=st.sampled_from(CONFIGURATIONS))
    def reload(self, text: str) -> None:
        self.director.rules = policy_rules(load_policy(text, name="c.yaml"), self.pool, self.director.rules)

    @rule()
    def close_rarely(self) -> None:
        if self.now > 30 and not self.closed:
            self.closed = True
            self.director.close(self.now)

    @invariant()
    def counts_agree(self) -> None:
        assert self.director.waiting == len(self.waiting) == self.watched.queued_now
        assert self.watched.in_flight == len(self.running)
        assert self.pool.columns.inflight.sum() == len(self.running)

    @invariant()
    def whoever_waits_without_end_is_looked_at(self) -> None:
        if self.waiting:
            assert self.director.next_look(self.now) is not None

    def teardown(self) -> None:
        for ticket in self.running:
            self.director.finish(ticket, self.now, outcome="complete", status=200)
        self.running.clear()
        self.director.close(self.now)
        while self.director.waiting:
            self.dispatch()
        assert self.waiting == []
        self.counts_agree()
        assert not self.pool.columns.inflight.any()
        assert self.director.next_look(self.now) is None


TestWaitingPool = WaitingPool.TestCase
TestWaitingPool.settings = settings(max_examples=60, stateful_step_count=60)
