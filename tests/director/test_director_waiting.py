"""Requests wait in the picker while the pool is full: who goes straight on, whose turn it is, who is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.conftest import BuildPool, Objects

from signalbox.director import Arrival, Director, Refused, Routed, Wait, Waiting, guide_rules, policy_rules
from signalbox.director.turns import AT_ONCE
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy

FLOW = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- {{type: queue-scorer}}
- {{type: {detector}}}
- {{type: round-robin-fairness-policy}}
schedulingProfiles: [{{name: default, plugins: [{{pluginRef: queue-scorer}}]}}]
flowControl:
  saturationDetector: {{pluginRef: {ref}}}
  defaultRequestTTL: 10s
  noEndpointRequestTTL: 100s
  priorityBands:
  - {{priority: 0, maxRequests: "{most}", fairnessPolicyRef: round-robin-fairness-policy}}
"""


def one_at_a_time(most: int = 1000) -> str:
    """Each endpoint takes one request at a time, as counted here."""
    return FLOW.format(
        detector="concurrency-detector, parameters: {maxConcurrency: 1}", ref="concurrency-detector", most=most
    )


BY_SCRAPES = FLOW.format(detector="utilization-detector", ref="utilization-detector", most=1000)
"""An endpoint is full with five requests in its queue, as it reports."""


class Counted:
    """Counts what waits, as metrics do."""

    def __init__(self) -> None:
        self.waiting = 0
        self.waits: list[Wait] = []

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        pass

    def routed(self, ticket: Any, decision_seconds: float) -> None:
        pass

    def finished(self, ticket: Any, completion: Any, now: float) -> None:
        pass

    def queued(self, wait: Wait) -> None:
        self.waiting += 1

    def dispatched(self, wait: Wait) -> None:
        self.waiting -= int(wait.queued)
        self.waits.append(wait)

    def dropped(self, wait: Wait) -> None:
        self.waiting -= int(wait.queued)
        self.waits.append(wait)


def direct(pool: Pool, configuration: str | None = None, observer: Counted | None = None) -> Director:
    rules = policy_rules(load_policy(configuration or one_at_a_time(), name="flow.yaml"), pool)
    return Director(pool, rules, rng=random.Random(3), observer=observer)


def ask(director: Director, now: float = 1.0, model: str = "m", **fields: Any) -> object:
    body = json.dumps({"model": model, "prompt": "p", "max_tokens": 10}).encode()
    return director.arrive(Arrival("/v1/completions", body, **fields), now)


def wait(director: Director, now: float = 1.0, **fields: Any) -> Waiting:
    outcome = ask(director, now, **fields)
    assert isinstance(outcome, Waiting)
    return outcome


def go(director: Director, now: float = 1.0, **fields: Any) -> Routed:
    outcome = ask(director, now, **fields)
    assert isinstance(outcome, Routed)
    return outcome


def end(director: Director, outcome: object, now: float = 2.0) -> None:
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    director.finish(outcome.ticket, now, outcome="complete", status=200)


def reason(outcome: object) -> tuple[int, str, str]:
    assert isinstance(outcome, Refused)
    return outcome.status, outcome.dropped, json.loads(outcome.body)["error"]["code"]


def scrape(pool: Pool, now: float, waiting: float = 0, running: float = 0) -> None:
    for endpoint in pool.endpoints:
        readings = Readings(waiting=waiting, running=running, kv_usage=0.0)
        pool.record(endpoint, readings, pool.begin_scrape(endpoint), now)


# ---- who waits


def test_with_room_and_nobody_waiting_a_request_goes_straight_on(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set()), (0, 0, set())))
    first, second = go(director), go(director)
    assert director.waiting == 0
    assert director.next_look(1.0) is None
    assert first.ticket is not None
    assert first.ticket.wait is not None
    assert (first.ticket.wait.seconds, first.ticket.wait.outcome) == (0.0, "Dispatched")
    assert {first.destination.split(",")[0], second.destination.split(",")[0]} == {
        "192.168.1.1:8000",
        "192.168.1.2:8000",
    }


def test_a_full_pool_makes_wait_and_an_end_gives_the_turn(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set())))
    first = go(director)
    second = wait(director, 1.0)
    assert director.dispatch(1.5) == []
    end(director, first, 4.0)
    ((waiting, outcome),) = director.dispatch(4.0)
    assert waiting is second
    assert isinstance(outcome, Routed)
    ticket = outcome.ticket
    assert ticket is not None
    assert (ticket.received_at, ticket.routed_at) == (1.0, 4.0)
    assert waiting.wait.seconds == 3.0
    assert director.waiting == 0


def test_whoever_comes_while_others_of_its_rank_wait_gets_behind_them(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set())))
    first = go(director)
    second = wait(director, 1.0)
    end(director, first)
    third = wait(director, 2.0)
    ((waiting, outcome),) = director.dispatch(2.0)
    assert waiting is second
    end(director, outcome)
    assert [waiting for waiting, _ in director.dispatch(3.0)] == [third]


def test_who_matters_more_overtakes(build_pool: BuildPool, objects: Objects) -> None:
    resources = (objects.objective("high", 10), objects.objective("low", -10))
    director = direct(build_pool((0, 0, set()), resources=resources))
    first = go(director)
    low, middle, high = wait(director, objective="low"), wait(director), wait(director, objective="high")
    order = []
    outcome: Routed | Refused = first
    for now in (2.0, 3.0, 4.0):
        end(director, outcome, now)
        ((waiting, outcome),) = director.dispatch(now)
        order.append(waiting)
    assert order == [high, middle, low]


def test_sheddable_requests_wait_like_others_and_are_not_shed(build_pool: BuildPool, objects: Objects) -> None:
    director = direct(build_pool((0, 0, set()), resources=(objects.objective("low", -10),)))
    first = go(director, objective="low")
    waiting = wait(director, objective="low")
    end(director, first)
    assert [w for w, outcome in director.dispatch(2.0) if isinstance(outcome, Routed)] == [waiting]


def test_two_fairness_ids_take_turns(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set())))
    outcome: Routed | Refused = go(director)
    for name in "aaaabb":
        wait(director, fairness_id=name)
    order = ""
    for now in range(2, 8):
        end(director, outcome, now)
        ((waiting, outcome),) = director.dispatch(float(now))
        order += waiting.wait.flow.fairness_id
    assert order in ("abab" + "aa", "baba" + "aa")


# ---- an unknown model, and candidates


def test_an_unknown_model_is_told_at_once(build_pool: BuildPool, objects: Objects) -> None:
    director = direct(build_pool((0, 0, set()), resources=(objects.model("m"),)))
    go(director)
    wait(director)
    assert reason(ask(director, model="other"))[0] == 404


def test_its_turn_is_decided_for_the_pool_as_it_is_then(build_pool: BuildPool, objects: Objects) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    director = direct(pool)
    go(director), go(director)
    waiting = wait(director)
    pool.remove(objects.pod("pod-0", "").key)
    pool.remove(objects.pod("pod-1", "").key)
    pool.put(objects.pod("pod-7", "192.168.1.7"))
    ((told, outcome),) = director.dispatch(2.0)
    assert told is waiting
    assert isinstance(outcome, Routed)
    assert outcome.destination == "192.168.1.7:8000"


def test_a_subset_holds_when_the_turn_comes(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    director = direct(pool)
    tickets = {outcome.destination.split(",")[0]: outcome for outcome in (go(director), go(director))}
    wait(director, subset=("192.168.1.2:8000",))
    end(director, tickets["192.168.1.1:8000"])
    ((_, outcome),) = director.dispatch(2.0)
    # The pool has room, the only endpoint its proxy allows has not: it goes there, and nobody is held up behind it.
    assert isinstance(outcome, Routed)
    assert outcome.destination == "192.168.1.2:8000"


def test_a_subset_without_a_ready_endpoint_is_refused_at_once_and_at_its_turn(
    build_pool: BuildPool, objects: Objects
) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    director = direct(pool)
    go(director), go(director)
    assert reason(ask(director, subset=("10.9.9.9:80",))) == (503, "rejected-no-endpoints", "no_ready_endpoint")
    wait(director, subset=("192.168.1.2:8000",))
    pool.remove(objects.pod("pod-1", "").key)
    pool.put(objects.pod("pod-2", "192.168.1.3"))
    ((_, outcome),) = director.dispatch(2.0)
    assert reason(outcome)[:2] == (503, "rejected-no-endpoints")


# ---- who is refused


def test_a_full_queue_refuses_with_its_figures(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set())), one_at_a_time(most=2))
    go(director)
    wait(director), wait(director)
    refused = ask(director)
    assert reason(refused) == (429, "rejected-saturated", "queue_full")
    assert isinstance(refused, Refused)
    assert refused.retry_after == 1
    assert "2" in refused.message
    assert "flowControl" in refused.message


def test_time_runs_out(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set())))
    go(director)
    waiting = wait(director, 1.0)
    assert director.next_look(1.0) == 11.0
    assert director.dispatch(10.9) == []
    ((told, outcome),) = director.dispatch(11.0)
    assert told is waiting
    assert reason(outcome) == (429, "rejected-ttl-expired", "queue_timeout")
    assert isinstance(outcome, Refused)
    assert (outcome.retry_after, director.waiting) == (1, 0)
    assert "10 s" in outcome.message


def test_an_empty_pool_makes_wait_for_its_first_endpoint(build_pool: BuildPool, objects: Objects) -> None:
    pool = build_pool()
    director = direct(pool)
    waiting, listing = wait(director), director.arrive(Arrival("/v1/models", None), 1.0)
    assert isinstance(listing, Waiting)
    assert director.dispatch(2.0) == []
    pool.put(objects.pod("pod-0", "192.168.1.1"))
    told = dict(director.dispatch(3.0))
    assert set(told) <= {waiting, listing}
    assert all(isinstance(outcome, Routed) for outcome in told.values())


def test_an_empty_pool_refuses_in_the_end(build_pool: BuildPool) -> None:
    counted = Counted()
    director = direct(build_pool(), observer=counted)
    wait(director, 1.0)
    director.arrive(Arrival("/v1/models", None), 1.0)
    director.dispatch(1.0)
    assert director.next_look(1.0) == 101.0
    outcomes = director.dispatch(101.0)
    assert [reason(outcome) for _, outcome in outcomes] == [(503, "rejected-no-endpoints", "no_ready_endpoint")] * 2
    assert [one.outcome for one in counted.waits] == ["EvictedNoEndpoints"] * 2


def test_a_pool_nobody_has_made_is_told_at_once() -> None:
    director = direct(Pool("pool"))
    assert reason(ask(director))[0] == 503
    assert reason(director.arrive(Arrival("/v1/models", None), 1.0))[0] == 503


def test_without_flow_control_an_empty_pool_refuses_at_once(build_pool: BuildPool) -> None:
    pool = build_pool()
    director = Director(pool, guide_rules())
    assert reason(ask(director)) == (503, "rejected-no-endpoints", "no_ready_endpoint")


def test_a_full_queue_of_an_empty_pool_is_no_429(build_pool: BuildPool) -> None:
    director = direct(build_pool(), one_at_a_time(most=1))
    wait(director)
    assert reason(ask(director)) == (503, "rejected-no-endpoints", "no_ready_endpoint")


# ---- who leaves


def test_a_client_that_leaves_makes_room_in_the_queue(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set())), one_at_a_time(most=1))
    first = go(director)
    waiting = wait(director)
    director.withdraw(waiting, 1.5)
    assert director.waiting == 0
    director.withdraw(waiting, 1.6)
    wait(director)
    end(director, first)
    assert len(director.dispatch(2.0)) == 1


def test_at_shutdown_whoever_waits_is_told_and_nobody_joins(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set())))
    go(director)
    wait(director)
    director.close(2.0)
    ((_, outcome),) = director.dispatch(2.0)
    assert reason(outcome) == (503, "rejected-shutting-down", "shutting_down")
    assert reason(ask(director, 2.0)) == (503, "rejected-shutting-down", "shutting_down")


# ---- a new configuration


def test_whoever_waits_goes_on_waiting_under_a_new_configuration(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    director = direct(pool)
    first = go(director)
    waits = [wait(director) for _ in range(3)]
    director.rules = policy_rules(load_policy(one_at_a_time(most=1), name="flow.yaml"), pool, director.rules)
    assert director.waiting == 3
    assert director.dispatch(1.0) == []
    assert director.waiting == 3
    end(director, first)
    assert [waiting for waiting, _ in director.dispatch(2.0)] == waits[:1]


def test_where_the_gate_is_switched_off_everybody_goes(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    director = direct(pool)
    go(director)
    waits = [wait(director) for _ in range(AT_ONCE + 3)]
    director.rules = policy_rules(load_policy("", name="none.yaml"), pool, director.rules)
    first = director.dispatch(2.0)
    assert len(first) == AT_ONCE
    assert director.next_look(2.0) == 2.0
    second = director.dispatch(2.0)
    assert [waiting for waiting, _ in (*first, *second)] == waits
    assert all(isinstance(outcome, Routed) for _, outcome in (*first, *second))
    assert (director.waiting, director.next_look(2.0)) == (0, None)


def test_who_leaves_between_the_call_and_the_word_is_not_told(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    director = direct(pool)
    go(director)
    waits = [wait(director) for _ in range(AT_ONCE + 1)]
    director.rules = policy_rules(load_policy("", name="none.yaml"), pool, director.rules)
    director.dispatch(2.0)
    director.withdraw(waits[-1], 2.0)
    assert (director.waiting, director.dispatch(2.0)) == (0, [])


# ---- between two scrapes


def test_one_look_at_an_idle_server_does_not_let_a_whole_queue_out(build_pool: BuildPool) -> None:
    pool = build_pool((10, 0, set()), (10, 0, set()))
    director = direct(pool, BY_SCRAPES)
    scrape(pool, 1.0, waiting=10)
    for _ in range(500):
        wait(director, 1.0)
    scrape(pool, 1.05)
    sent = 0
    while outcomes := director.dispatch(1.05):
        sent += len(outcomes)
    # Two endpoints, full with five waiting each: what is sent counts as waiting until the next scrape.
    assert sent == 10
    scrape(pool, 1.1, running=5)
    while outcomes := director.dispatch(1.1):
        sent += len(outcomes)
    assert sent == 20
    assert director.waiting == 480


def test_where_nobody_waits_a_burst_between_two_scrapes_is_not_held_up(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    director = direct(pool, BY_SCRAPES)
    scrape(pool, 1.0)
    for _ in range(50):
        go(director, 1.01)
    assert director.waiting == 0


def test_the_queue_moves_on_with_ends_where_scrapes_fail(build_pool: BuildPool) -> None:
    pool = build_pool((0, 0, set()))
    director = direct(pool, BY_SCRAPES)
    scrape(pool, 1.0)
    running = [go(director, 1.0) for _ in range(101)]
    # By now the reading is stale, and a hundred in flight are as many as an endpoint without one is given.
    waiting = wait(director, 5.0)
    end(director, running.pop(), 5.0)
    assert director.dispatch(5.0) == []
    end(director, running.pop(), 5.0)
    assert [told for told, _ in director.dispatch(5.0)] == [waiting]


# ---- who watches


@pytest.mark.parametrize("how", ["turn", "ttl", "left", "full"])
def test_every_wait_is_told_with_what_came_of_it(build_pool: BuildPool, how: str) -> None:
    counted = Counted()
    director = direct(build_pool((0, 0, set())), one_at_a_time(most=1), counted)
    first = go(director)
    waiting = wait(director, 1.0, fairness_id="team")
    assert counted.waiting == 1
    if how == "turn":
        end(director, first)
        director.dispatch(3.0)
    elif how == "ttl":
        director.dispatch(20.0)
    elif how == "left":
        director.withdraw(waiting, 3.0)
    else:
        ask(director, 2.0)
    outcomes = {
        "turn": "Dispatched",
        "ttl": "EvictedTTL",
        "left": "EvictedContextCancelled",
        "full": "RejectedCapacity",
    }
    last = counted.waits[-1]
    assert last.outcome == outcomes[how]
    assert counted.waiting == int(how == "full")
    if how != "full":
        assert (last.flow.fairness_id, last.flow.priority, last.saturation) == ("team", 0, 1.0)
        assert last.seconds == (19.0 if how == "ttl" else 2.0)


# ---- what nobody foresaw


def test_what_fails_for_one_who_waited_is_its_own_refusal(
    build_pool: BuildPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not hasattr(Director._turn_came, "__code__"):
        pytest.skip("compiled callers do not see what this puts in a method's place")
    pool = build_pool(*[(0, 0, set())] * 3)
    director = direct(pool)
    running = [go(director) for _ in range(3)]
    waiting = [wait(director, request_id=str(number)) for number in range(3)]
    for one in running:
        end(director, one)
    decide = director._turn_came

    def broken(one: Waiting, now: float) -> Routed | Refused:
        if one is waiting[1]:
            raise KeyError("surprise")
        return decide(one, now)

    monkeypatch.setattr(director, "_turn_came", broken)
    told = dict(director.dispatch(2.0))
    assert [type(told[one]) for one in waiting] == [Routed, Refused, Routed]
    assert reason(told[waiting[1]]) == (500, "", "internal_error")
    assert [vars(record)["request_id"] for record in caplog.records if record.exc_info] == ["1"]
    assert director.waiting == 0


def test_whoever_was_decided_about_is_told_before_a_queue_that_fails(
    build_pool: BuildPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    director = direct(build_pool((0, 0, set()), (0, 0, set())))
    running = [go(director) for _ in range(2)]
    waiting = [wait(director) for _ in range(2)]
    for one in running:
        end(director, one)
    call, calls = director._line.call, iter([True, False, False])

    def broken(*args: Any) -> Waiting | None:
        if not next(calls, True):
            raise RuntimeError("no such luck")
        return call(*args)

    monkeypatch.setattr(director._line, "call", broken)
    assert [one for one, _ in director.dispatch(2.0)] == waiting[:1]
    assert director.next_look(2.0) == 2.0
    with pytest.raises(RuntimeError, match="no such luck"):
        director.dispatch(2.0)
    assert director.next_look(2.0) != 2.0  # or it would be asked again and again
    assert [one for one, _ in director.dispatch(3.0)] == waiting[1:]
