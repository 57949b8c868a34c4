"""The first choice failed and a fallback served: everything that was booked to the one belongs to the other."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from signalbox.director import Arrival, Director, Routed, Ticket, policy_rules
from signalbox.pool import Pool, Readings
from signalbox.scheduling import load_policy
from signalbox.scheduling.scorers import LeastCostScorer

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
PREFIX = "plugins: [{type: prefix-cache-scorer}]"
PROMPT = "tell me a story about a signal box in the hills " * 40


def director(pool: Pool, plugins: str = PREFIX) -> Director:
    return Director(pool, policy_rules(load_policy(HEAD + plugins, name="t.yaml"), pool), rng=random.Random(1))


def send(to: Director, *, now: float = 1.0, stream: bool = False, model: str = "m", **fields: Any) -> Routed:
    body = {"model": model, "prompt": PROMPT, "max_tokens": 10, "stream": stream}
    outcome = to.arrive(Arrival("/v1/completions", json.dumps(body).encode(), **fields), now)
    assert isinstance(outcome, Routed)
    return outcome


def ticket_of(routed: Routed) -> Ticket:
    assert routed.ticket is not None
    return routed.ticket


def end(to: Director, ticket: Ticket, status: int = 200) -> None:
    to.finish(ticket, 9.0, outcome="complete" if status < 500 else "server_error", status=status)


@pytest.fixture
def pool(build_pool: Any) -> Pool:
    built: Pool = build_pool(*[(0, 0, set())] * 3)
    return built


def test_the_next_equal_prompt_goes_to_who_served(pool: Pool) -> None:
    to = director(pool)
    ticket = ticket_of(send(to))
    first, fallback = ticket.endpoint, ticket.fallbacks[0]
    to.served(ticket, fallback.address)
    end(to, ticket)
    following = ticket_of(send(to))
    assert following.endpoint == fallback != first
    assert following.cached_tokens == following.prompt_tokens_estimate
    assert to.rules.prefix is not None
    only_here = to.rules.prefix.blocks
    end(to, following, 500)
    assert to.rules.prefix.blocks == only_here  # still used by the first request
    to.rules.prefix.forget(fallback)
    assert to.rules.prefix.blocks == 0


def test_a_prompt_that_the_fallback_refused_is_nowhere(pool: Pool) -> None:
    to = director(pool)
    ticket = ticket_of(send(to))
    to.served(ticket, ticket.fallbacks[1].address)
    end(to, ticket, 500)
    assert to.rules.prefix is not None
    assert to.rules.prefix.blocks == 0


def test_the_account_counts_what_is_not_cached_where_it_is_computed(pool: Pool) -> None:
    to = director(pool)
    end(to, ticket_of(send(to)))
    ticket = ticket_of(send(to))
    first, fallback = ticket.endpoint, ticket.fallbacks[0]
    assert pool.columns.prefill_tokens[first.row] == 0
    to.served(ticket, fallback.address)
    assert ticket.charge is not None
    assert (ticket.charge.endpoint, ticket.charge.cached_tokens) == (fallback, 0)
    assert pool.columns.prefill_tokens[[first.row, fallback.row]].tolist() == [0, ticket.prompt_tokens_estimate]
    end(to, ticket)
    assert not pool.columns.inflight.any()


@pytest.mark.parametrize("plugin", ["session-affinity-scorer", "session-affinity-filter"])
def test_a_named_session_is_bound_to_who_served(pool: Pool, plugin: str) -> None:
    to = director(pool, f"plugins: [{{type: {plugin}, parameters: {{strategy: session_id}}}}]")
    session = {"x-session-id": "s"}
    ticket = ticket_of(send(to, headers=session))
    fallback = ticket.fallbacks[0]
    assert to.served(ticket, fallback.address) == {}
    end(to, ticket)
    for _ in range(5):
        again = ticket_of(send(to, headers=session))
        assert again.endpoint == fallback
        end(to, again)


def test_a_session_that_was_bound_anew_meanwhile_stays_there(pool: Pool) -> None:
    to = director(pool, "plugins: [{type: session-affinity-filter, parameters: {strategy: session_id}}]")
    session = {"x-session-id": "s"}
    ticket = ticket_of(send(to, headers=session))
    first, second, third = ticket.endpoint, *ticket.fallbacks
    later = ticket_of(send(to, headers=session, subset=(third.address,)))
    assert later.endpoint == third != first
    to.served(ticket, second.address)
    assert ticket_of(send(to, headers=session)).endpoint == third


@pytest.mark.parametrize("plugin", ["session-affinity-scorer", "session-affinity-filter"])
def test_the_token_in_the_answer_names_who_served(pool: Pool, plugin: str) -> None:
    to = director(pool, f"plugins: [{{type: {plugin}}}]")
    routed = send(to)
    ticket = ticket_of(routed)
    fallback = ticket.fallbacks[0]
    changed = to.served(ticket, fallback.address)
    assert changed is not None
    assert changed.keys() == routed.response_headers.keys() == {"x-session-token"}
    assert base64.b64decode(changed["x-session-token"]) == f"default/{fallback.name}".encode()
    assert changed != routed.response_headers


@pytest.mark.parametrize("stream", [True, False])
def test_least_costs_count_of_adapters_comes_back_to_nothing(pool: Pool, stream: bool) -> None:
    for endpoint in pool.endpoints:
        readings = Readings(waiting=0, running=0, kv_usage=0, lora_max=4, lora_active=frozenset({"ad"}))
        pool.record(endpoint, readings, pool.begin_scrape(endpoint), 1.0)
    to = director(pool, "plugins: [{type: least-cost-scorer}]")
    assert to.rules.policy is not None
    (scorer,) = [plugin for plugin in to.rules.policy.plugins if isinstance(plugin, LeastCostScorer)]
    tickets = [ticket_of(send(to, model="ad", stream=stream)) for _ in range(5)]
    for ticket in tickets:
        to.served(ticket, ticket.fallbacks[0].address)
        to.first_byte(ticket, 2.0, 200)
        to.served(ticket, ticket.fallbacks[1].address)  # nothing changes once the answer has begun
        end(to, ticket)
    assert scorer._slots._in_flight == {}
    assert not scorer._slots._active.any()


@pytest.mark.parametrize("address", ["192.168.1.9:8000", "", "nonsense"])
def test_who_was_not_named_is_not_believed(pool: Pool, address: str) -> None:
    to = director(pool, "plugins: [{type: session-affinity-scorer}]")
    ticket = ticket_of(send(to))
    before = ticket.endpoint
    assert to.served(ticket, address) is None
    assert to.served(ticket, before.address) is None
    assert (ticket.endpoint, ticket.moved) == (before, False)


def test_a_report_after_the_answer_began_moves_nothing(pool: Pool) -> None:
    to = director(pool)
    ticket = ticket_of(send(to, stream=True))
    before = ticket.endpoint
    to.first_byte(ticket, 1.5, 200)
    assert to.served(ticket, ticket.fallbacks[0].address) is None
    assert ticket.endpoint == before
    assert (ticket.lookup, ticket.course) == (None, None)


def test_a_request_that_ended_keeps_nothing_of_its_decision(pool: Pool) -> None:
    to = director(pool, "plugins: [{type: prefix-cache-scorer}, {type: session-affinity-scorer}]")
    ticket = ticket_of(send(to))
    assert None not in (ticket.lookup, ticket.course)
    end(to, ticket)
    assert (ticket.lookup, ticket.course) == (None, None)
    assert to.served(ticket, ticket.fallbacks[0].address) is None


def test_a_plugin_that_fails_when_told_is_a_fault_and_nothing_else(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    to = director(pool, "plugins: [{type: session-affinity-scorer}, {type: least-cost-scorer}]")

    def moved(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(LeastCostScorer, "moved", moved)
    policy = to.rules.policy
    assert policy is not None
    ticket = ticket_of(send(to))
    assert to.served(ticket, ticket.fallbacks[0].address) is not None
    assert policy.faults == {"least-cost-scorer": 1}
