"""Sheddable requests give up their places to those who matter more, and only where nothing else gives them one."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import BuildPool, Objects

from signalbox.director import Arrival, Director, Refused, Routed, Ticket, Waiting, policy_rules
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

FLOW = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{{type: queue-scorer}}, {{type: concurrency-detector, parameters: {{maxConcurrency: 1}}}}]
flowControl:
  enableEviction: {evicts}
  saturationDetector: {{pluginRef: {detector}}}
"""


class Taken:
    """An observer that remembers who was taken back."""

    def __init__(self) -> None:
        self.tickets: list[Ticket] = []
        self.ends: list[str] = []

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        pass

    def routed(self, ticket: Ticket, decision_seconds: float) -> None:
        pass

    def finished(self, ticket: Ticket, completion: Any, now: float) -> None:
        self.ends.append(completion.outcome)

    def taken_back(self, ticket: Ticket) -> None:
        self.tickets.append(ticket)


class Desk:
    """A director, and what an exchange does with its outcomes."""

    def __init__(self, pool: Pool, objects: Objects, evicts: str, detector: str) -> None:
        for name, priority in (("urgent", 5), ("batch", -1), ("scraps", -9)):
            pool.put(objects.objective(name, priority))
        self.pool = pool
        self.observer = Taken()
        text = FLOW.format(evicts=evicts, detector=detector)
        self.director = Director(
            pool,
            policy_rules(load_policy(text, name="flow.yaml"), pool),
            rng=random.Random(1),
            observer=self.observer,
        )

    def ask(self, objective: str | None, now: float = 1.0) -> Routed | Waiting:
        body = json.dumps({"model": "m", "prompt": "p"}).encode()
        outcome = self.director.arrive(Arrival("/v1/completions", body, objective=objective), now)
        assert isinstance(outcome, Routed | Waiting)
        if isinstance(outcome, Routed):
            self.hold(outcome)
        return outcome

    def hold(self, routed: Routed) -> Ticket:
        ticket = routed.ticket
        assert ticket is not None
        if ticket.serving is not None:
            ticket.serving.owner = ticket
        return ticket

    def look(self, now: float) -> list[tuple[Ticket, Refused]]:
        for _, outcome in self.director.dispatch(now):
            assert isinstance(outcome, Routed)
            self.hold(outcome)
        return self.director.recall(now)

    def end(self, ticket: Ticket, now: float) -> None:
        self.director.finish(ticket, now, outcome="cancelled", status=None)


@pytest.fixture
def desk(build_pool: BuildPool, objects: Objects) -> Any:
    """Two servers, each of which takes one request at a time."""

    def build(evicts: str = "true", detector: str = "concurrency-detector") -> Desk:
        return Desk(build_pool((0, 0, set()), (0, 0, set())), objects, evicts, detector)

    return build


def ticket(outcome: Routed | Waiting) -> Ticket:
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    return outcome.ticket


def test_the_least_important_gives_its_place_to_who_waits(desk: Any) -> None:
    here: Desk = desk()
    scraps, batch = ticket(here.ask("scraps")), ticket(here.ask("batch"))
    assert isinstance(here.ask("urgent"), Waiting)
    ((taken, refusal),) = here.look(1.0)
    assert taken is scraps
    assert (refusal.status, refusal.dropped, refusal.retry_after) == (429, "evicted-priority", 1)
    assert "priority -9" in refusal.message
    assert "priority 5 wait" in refusal.message
    assert here.observer.tickets == [scraps]
    assert here.look(1.1) == [], "its end is awaited"
    here.end(scraps, 1.2)
    assert here.director.waiting == 1
    assert here.look(1.2) == []
    assert here.director.waiting == 0
    assert batch.charge is not None
    here.end(batch, 2.0)
    assert here.observer.ends == ["evicted", "cancelled"]


def test_nobody_is_taken_back_while_nobody_waits_or_for_who_matters_as_little(desk: Any) -> None:
    here: Desk = desk()
    here.ask("batch")
    assert here.look(1.0) == []
    here.ask("batch")
    assert isinstance(here.ask("batch"), Waiting)
    assert isinstance(here.ask("scraps"), Waiting)
    assert here.look(1.0) == []
    assert isinstance(here.ask(None), Waiting)
    assert len(here.look(1.0)) == 1


def test_requests_that_are_not_sheddable_stay(desk: Any) -> None:
    here: Desk = desk()
    assert ticket(here.ask(None)).serving is None
    assert ticket(here.ask("urgent")).serving is None
    assert isinstance(here.ask("urgent"), Waiting)
    assert here.look(1.0) == []


@pytest.mark.parametrize("evicts", ["false", "true"])
def test_it_has_to_be_switched_on(desk: Any, evicts: str) -> None:
    here: Desk = desk(evicts)
    assert (ticket(here.ask("batch")).serving is not None) is (evicts == "true")
    here.ask("batch")
    here.ask("urgent")
    assert len(here.look(1.0)) == (1 if evicts == "true" else 0)


def test_a_reload_that_switches_it_off_counts_at_once(desk: Any) -> None:
    here: Desk = desk()
    held = ticket(here.ask("batch"))
    here.ask("batch")
    here.ask("urgent")
    text = FLOW.format(evicts="false", detector="concurrency-detector")
    here.director.rules = policy_rules(load_policy(text, name="flow.yaml"), here.pool, here.director.rules)
    assert here.look(1.0) == []
    assert here.director.waiting == 1
    here.end(held, 2.0)
    assert held.serving is None
    assert here.look(2.0) == []
    assert here.director.waiting == 0


@pytest.mark.parametrize(("detector", "grace"), [("concurrency-detector", 0.01), ("utilization-detector", 0.45)])
def test_the_next_look_is_when_the_room_must_show(desk: Any, detector: str, grace: float) -> None:
    here: Desk = desk(detector=detector)
    for endpoint in here.pool.endpoints:
        here.pool.columns.kv_usage[endpoint.row] = 0.0
    batch = [ticket(here.ask("batch", 1.0)) for _ in range(2)]
    if detector == "utilization-detector":
        for _ in range(300):
            here.ask("batch", 1.0)
    assert isinstance(here.ask("urgent", 1.0), Waiting)
    assert isinstance(here.ask("urgent", 1.0), Waiting)
    assert isinstance(here.ask("urgent", 1.0), Waiting)
    taken = here.look(1.0)
    assert len(taken) == 2
    assert here.director.next_look(1.0) == pytest.approx(11.0), "or when they are given up"
    for one, _ in taken:
        here.end(one, 2.0)
    if detector == "concurrency-detector":
        assert [one for one, _ in taken] == batch[::-1]
        here.look(2.0)
        assert here.director.next_look(2.0) == pytest.approx(61.0), "nobody is left to be taken back"
    else:
        assert here.look(2.0) == []
        assert here.director.next_look(2.0) == pytest.approx(2.0 + grace + here.pool.columns.scrape_interval)


@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["ask", "ask", "end", "look"]), st.sampled_from(["scraps", "batch", None, "urgent"])),
        max_size=40,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_whatever_happens_every_request_ends_once_and_nothing_stays(
    desk: Any, changes: list[tuple[str, str | None]]
) -> None:
    here: Desk = desk()
    running: list[Ticket] = []
    asked = 0

    def look(now: float) -> None:
        for _, outcome in here.director.dispatch(now):
            assert isinstance(outcome, Routed)
            running.append(here.hold(outcome))
        for taken, refusal in here.director.recall(now):
            assert taken in running
            assert taken.priority < 0
            assert refusal.status == 429
            running.remove(taken)
            here.end(taken, now)

    for step, (change, objective) in enumerate(changes):
        now = 1.0 + step / 10
        if change == "ask":
            asked += 1
            outcome = here.ask(objective, now)
            if isinstance(outcome, Routed):
                running.append(ticket(outcome))
        elif change == "end" and running:
            here.end(running.pop(0), now)
        look(now)
        assert len(running) <= 2
    end = 10.0
    while here.director.waiting or running:
        end += 1.0
        assert end < 200.0
        look(end)
        if running:
            here.end(running.pop(), end)
    assert len(here.observer.ends) == asked
    assert here.observer.ends.count("evicted") == len(here.observer.tickets)
    assert here.pool.columns.inflight.sum() == 0
    assert len(here.director._recalls._evictions) == 0


def test_an_empty_pool_takes_nobody_back(desk: Any, objects: Objects) -> None:
    here: Desk = desk()
    here.ask("batch")
    here.ask("batch")
    here.ask("urgent")
    for endpoint in list(here.pool.endpoints):
        here.pool.put(objects.pod(endpoint.name, endpoint.address.rpartition(":")[0], ready=False))
    assert not here.pool.endpoints
    assert here.look(1.0) == []
