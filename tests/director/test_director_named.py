"""The endpoints of a decision, as they are told to the proxy."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.director import Arrival, Director, Routed, guide_rules
from signalbox.director import named as module
from signalbox.director.named import Named
from signalbox.pool import Pool


@pytest.fixture
def pool(build_pool: Any) -> Pool:
    built: Pool = build_pool(*[(0, 0.1, set())] * 3)
    return built


def test_the_first_choice_comes_first_and_the_fallbacks_in_order(pool: Pool) -> None:
    choice = Named(pool, None).choice((2, 0, 1))
    assert (choice.first.row, [endpoint.row for endpoint in choice.fallbacks]) == (2, [0, 1])
    assert choice.destination == ",".join(pool.endpoint(row).address for row in (2, 0, 1))


def test_no_more_are_named_than_the_proxy_is_to_be_told(pool: Pool) -> None:
    choice = Named(pool, 1).choice((2, 0, 1))
    assert (choice.first, choice.fallbacks, choice.destination) == (pool.endpoint(2), (), pool.endpoint(2).address)


def test_a_choice_is_remembered_while_the_endpoints_stay(pool: Pool) -> None:
    named = Named(pool, None)
    assert named.choice((0, 1)) is named.choice((0, 1))


def test_no_more_choices_are_remembered_than_there_is_room_for(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    named = Named(pool, None)
    before = named.choice((0, 1))
    named.choice((1, 0))
    named.choice((2, 0))
    again = named.choice((0, 1))
    assert again is not before
    assert (again.first, again.fallbacks, again.destination) == (before.first, before.fallbacks, before.destination)


def test_an_endpoint_that_takes_the_row_of_another_is_named_by_its_own_address(pool: Pool, objects: Any) -> None:
    director = Director(pool, guide_rules())
    for body in (b'{"model":"m","prompt":"x"}', None):
        outcome = director.arrive(Arrival("/v1/completions", body), 0.0)
        assert isinstance(outcome, Routed)
        if outcome.ticket is not None:
            director.finish(outcome.ticket, 0.0, outcome="complete", status=200)
    for endpoint in pool.endpoints:
        pool.remove(objects.pod(endpoint.pod, endpoint.host).key)
    assert pool.endpoints == ()
    pool.put(objects.pod("new", "10.9.9.9"))
    for body in (b'{"model":"m","prompt":"x"}', None):
        outcome = director.arrive(Arrival("/v1/completions", body), 1.0)
        assert isinstance(outcome, Routed)
        assert outcome.destination == "10.9.9.9:8000"
