"""Canaries, sessions and adapters in the life of a request."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from signalbox.director import Arrival, Director, Refused, Routed, Ticket, guide_rules, policy_rules
from signalbox.pool import Endpoint, ModelList, Pool
from signalbox.pool.split import STICKY_ANNOTATION
from signalbox.scheduling import load_policy

SESSION = "x-session-id"


def director(pool: Pool, configuration: str | None = None) -> Director:
    rules = guide_rules() if configuration is None else policy_rules(load_policy(configuration, name="t.yaml"), pool)
    return Director(pool, rules, rng=random.Random(1))


def lists(pool: Pool, endpoint: Endpoint, *adapters: str) -> None:
    pool.record_models(endpoint, ModelList(frozenset({"base", *adapters}), frozenset(adapters)))


def send(
    to: Director, model: str = "m", *, headers: dict[str, str] | None = None, path: str = "/v1/completions"
) -> Ticket:
    outcome = to.arrive(
        Arrival(path, json.dumps({"model": model, "prompt": "x", "input": "x"}).encode(), headers=headers or {}), 1.0
    )
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    return outcome.ticket


def answer(to: Director, ticket: Ticket, status: int = 200) -> None:
    to.finish(ticket, 2.0, outcome="complete", status=status)


@pytest.fixture
def canary(build_pool: Any, objects: Any) -> Pool:
    model = objects.model("m", (("v1", 50), ("v2", 50)))
    pool: Pool = build_pool(*[(0, 0, set())] * 4, lora_max=2, resources=(model,))
    return pool


@pytest.mark.parametrize("configuration", [None, ""], ids=["guide", "default configuration"])
def test_flipping_a_canary_before_its_adapter_has_loaded_fails_no_request(
    canary: Pool, objects: Any, configuration: str | None
) -> None:
    """Servers answer 404 for what they have not loaded; they load v2 one after another while requests come in."""
    has = {endpoint.address: {"v1"} for endpoint in canary.endpoints}
    to = director(canary, configuration)
    canary.put(objects.model("m", (("v1", 1), ("v2", 99))))
    for endpoint in canary.endpoints:
        lists(canary, endpoint, *has[endpoint.address])
    targets: list[Counter[str]] = []
    for loading in [None, *canary.endpoints]:
        if loading is not None:
            has[loading.address].add("v2")
            lists(canary, loading, *has[loading.address])
        targets.append(Counter())
        for _ in range(100):
            ticket = send(to)
            assert ticket.target in has[ticket.endpoint.address]
            assert all(ticket.target in has[fallback.address] for fallback in ticket.fallbacks)
            targets[-1][ticket.target] += 1
            answer(to, ticket)
    assert targets == [{"v1": 100}, *[{"v1": 1, "v2": 99}] * 4]


def test_the_step_that_leaves_endpoints_out_is_told(canary: Pool) -> None:
    first, *others = canary.endpoints
    for endpoint in others:
        lists(canary, endpoint, "v1")
    lists(canary, first, "v1", "v2")
    to = director(canary)
    tickets = []
    for _ in range(2):
        outcome = to.arrive(Arrival("/v1/completions", b'{"model": "m", "prompt": "x"}'), 1.0)
        assert isinstance(outcome, Routed)
        tickets.append(outcome)
    steps = [[f"{step.plugin} {step.before}->{step.after}" for step in outcome.steps][:2] for outcome in tickets]
    assert steps == [["reachable 4->4", "has-capacity 4->4"], ["lists-model 4->1", "reachable 1->1"]]


def test_after_a_404_the_next_request_goes_elsewhere(canary: Pool) -> None:
    for endpoint in canary.endpoints:
        lists(canary, endpoint, "v1", "v2")
    to = director(canary)
    refused = set()
    for _ in range(4):
        ticket = send(to, "m")
        while ticket.target != "v2":
            ticket = send(to, "m")
        assert ticket.endpoint.address not in refused
        refused.add(ticket.endpoint.address)
        answer(to, ticket, 404)
    assert [held.target for held in canary.held_back()] == ["v2"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/embeddings", "/nothing"])
def test_a_404_of_an_api_the_server_may_lack_is_not_about_the_model(canary: Pool, path: str) -> None:
    for endpoint in canary.endpoints:
        lists(canary, endpoint, "v1", "v2")
    to = director(canary)
    for _ in range(8):
        answer(to, send(to, path=path), 404)
    assert canary.held_back() == ()


def test_an_answer_makes_an_idle_adapter_resident(canary: Pool) -> None:
    for endpoint in canary.endpoints:
        lists(canary, endpoint, "v1", "v2")
    to = director(canary)
    first = send(to)
    assert first.target not in canary.columns.resident
    answer(to, first)
    assert canary.columns.resident[first.target].nonzero()[0].tolist() == [first.endpoint.row]
    broken = send(to)
    answer(to, broken, 500)
    assert broken.target == first.target or broken.target not in canary.columns.resident


def annotated(model: Any, header: str) -> Any:
    return model.model_copy(
        update={"metadata": model.metadata.model_copy(update={"annotations": {STICKY_ANNOTATION: header}})}
    )


def test_a_session_stays_with_its_variant(canary: Pool, objects: Any) -> None:
    to = director(canary)
    assert not to.wants_headers
    canary.put(annotated(objects.model("m", (("v1", 50), ("v2", 50))), SESSION))
    assert to.wants_headers
    variants = {
        session: {send(to, headers={SESSION: session}).target for _ in range(5)} for session in map(str, range(50))
    }
    assert all(len(targets) == 1 for targets in variants.values())
    assert {target for targets in variants.values() for target in targets} == {"v1", "v2"}


def test_a_model_that_nobody_lists_is_the_servers_to_refuse(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    lists(pool, pool.endpoints[0])
    to = director(pool)
    assert send(to, "unheard-of").endpoint == pool.endpoints[0]


def test_admission_looks_at_those_that_have_the_model(build_pool: Any, objects: Any) -> None:
    """An idle server that cannot answer is no reason to let a sheddable request in."""
    pool = build_pool((50, 0.95, set()), (0, 0.0, set()), resources=(objects.objective("batch", -1),))
    full, idle = pool.endpoints
    lists(pool, full, "a")
    lists(pool, idle)
    to = director(pool)
    body = b'{"model": "a", "prompt": "x"}'
    assert isinstance(to.arrive(Arrival("/v1/completions", body, objective="batch"), 1.0), Refused)
    assert isinstance(to.arrive(Arrival("/v1/completions", body.replace(b'"a"', b'"base"')), 1.0), Routed)


@pytest.mark.parametrize("configuration", [None, ""], ids=["guide", "default configuration"])
@pytest.mark.parametrize("targets", [(("v2", 100),), (("v2", 50), ("v3", 50))], ids=["one target", "two targets"])
def test_flipping_everything_to_adapters_that_are_not_loaded_fails_no_request(
    build_pool: Any, objects: Any, configuration: str | None, targets: tuple[tuple[str, int], ...]
) -> None:
    """Servers answer 404 for what they have not loaded; they load the new adapters one after another."""
    pool = build_pool(*[(0, 0, set())] * 4, resources=(objects.model("m", (("v1", 100),)),))
    has = {endpoint.address: {"v1"} for endpoint in pool.endpoints}
    to = director(pool, configuration)
    for endpoint in pool.endpoints:
        lists(pool, endpoint, "v1")
    statuses: Counter[tuple[str, int]] = Counter()

    def ask(count: int) -> None:
        for _ in range(count):
            ticket = send(to)
            status = 200 if ticket.target in has[ticket.endpoint.address] else 404
            statuses[ticket.target, status] += 1
            answer(to, ticket, status)

    ask(10)
    pool.put(objects.model("m", targets))
    ask(100)
    assert statuses == {("v1", 200): 110}
    for endpoint in pool.endpoints:
        loaded = [name for name, _ in targets]
        has[endpoint.address] |= {*loaded}
        lists(pool, endpoint, "v1", *loaded)
        ask(100)
    assert {status for _, status in statuses} == {200}
    assert statuses["v1", 200] == 110
