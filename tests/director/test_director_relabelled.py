"""A pod that changes its labels is the same server, with all that is known of it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from signalbox.director import Arrival, Director, Routed, Ticket, policy_rules
from signalbox.pool import Endpoint, ModelList, Pool, Readings
from signalbox.scheduling import load_policy
from signalbox.scheduling.scorers import LeastCostScorer

TWO = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: prefix-cache-scorer}, {type: least-cost-scorer}]
"""


@pytest.fixture
def to(build_pool: Any) -> Director:
    pool = build_pool(*[(0, 0, set())] * 3)
    return Director(pool, policy_rules(load_policy(TWO, name="t.yaml"), pool), rng=random.Random(1))


def send(to: Director, now: float = 1.0) -> Ticket:
    body = {"model": "m", "prompt": "the same beginning " * 400, "stream": True}
    outcome = to.arrive(Arrival("/v1/completions", json.dumps(body).encode()), now)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    return outcome.ticket


def relabel(pool: Pool, objects: Any, endpoint: Endpoint, **labels: str) -> None:
    pool.put(objects.pod(endpoint.pod, endpoint.host, labels={"app": "llm", **labels}))


def test_it_keeps_its_prompts_and_what_was_learned_of_it(to: Director, objects: Any) -> None:
    assert to.rules.policy is not None
    (cost,) = [plugin for plugin in to.rules.policy.plugins if isinstance(plugin, LeastCostScorer)]
    ticket = send(to)
    to.first_byte(ticket, 3.0, 200)
    to.finish(ticket, 4.0, outcome="complete", status=200)
    learned = cost._speeds.column(to.pool.columns.size).tolist()
    relabel(to.pool, objects, ticket.endpoint, team="x")
    again = send(to, 5.0)
    assert again.endpoint.labels == {"app": "llm", "team": "x"}
    assert again.endpoint.same_server(ticket.endpoint)
    assert again.cached_tokens == again.prompt_tokens_estimate
    assert cost._speeds.column(to.pool.columns.size).tolist() == learned


def test_it_is_recognised_when_it_serves_as_a_fallback(to: Director, objects: Any) -> None:
    ticket = send(to)
    fallback = ticket.fallbacks[0]
    relabel(to.pool, objects, fallback, team="x")
    to.served(ticket, fallback.address)
    assert ticket.moved
    assert ticket.endpoint.labels["team"] == "x"
    assert to.pool.columns.inflight[fallback.row] == 1


def test_what_was_asked_before_the_change_is_recorded_after_it(to: Director, objects: Any) -> None:
    pool = to.pool
    before = pool.endpoints[0]
    mark = pool.begin_scrape(before)
    relabel(pool, objects, before, team="x")
    assert pool.endpoints[0] != before
    pool.record(before, Readings(waiting=7), mark, 2.0)
    pool.record_models(before, ModelList(frozenset({"base"})))
    assert pool.columns.waiting[before.row] == 7
    assert pool.columns.listed[before.row]


def test_another_pod_at_the_same_address_is_another_server(to: Director, objects: Any) -> None:
    ticket = send(to)
    to.finish(ticket, 4.0, outcome="complete", status=200)
    to.pool.remove(objects.pod(ticket.endpoint.pod, ticket.endpoint.host).key)
    to.pool.put(objects.pod("successor", ticket.endpoint.host))
    assert send(to, 5.0).cached_tokens == 0
