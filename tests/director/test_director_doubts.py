"""A server that failed its last request lets nobody go who waits, until there is a reason to try it again."""

from __future__ import annotations

import pytest
from tests.conftest import BuildPool
from tests.director.test_director_waiting import direct, end, go, scrape, wait

from signalbox.director import Director, Routed
from signalbox.director.doubts import LONGEST
from signalbox.pool import Pool


def fail(director: Director, outcome: object, now: float, status: int | None = 503) -> None:
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    director.finish(outcome.ticket, now, outcome="server_error", status=status)


def stalled(build_pool: BuildPool, status: int | None = 503) -> tuple[Pool, Director]:
    """One server, one at a time; three wait; the one that was sent has failed at 2.0."""
    pool = build_pool((0, 0, set()))
    director = direct(pool)
    sent = go(director)
    for _ in range(3):
        wait(director)
    fail(director, sent, 2.0, status)
    return pool, director


@pytest.mark.parametrize("status", [502, 503, 504])
def test_those_who_wait_do_not_follow_to_a_server_that_failed(build_pool: BuildPool, status: int) -> None:
    _, director = stalled(build_pool, status)
    assert director.dispatch(2.0) == []
    assert director.waiting == 3
    wait(director, 2.1)


@pytest.mark.parametrize("status", [200, 400, 429, 500, None])
def test_any_other_end_lets_the_next_one_go(build_pool: BuildPool, status: int | None) -> None:
    _, director = stalled(build_pool, status)
    assert len(director.dispatch(2.0)) == 1


def test_a_good_scrape_ends_the_doubt(build_pool: BuildPool) -> None:
    pool, director = stalled(build_pool)
    scrape(pool, 2.05)
    ((_, outcome),) = director.dispatch(2.05)
    assert isinstance(outcome, Routed)


def test_a_scrape_from_before_the_failure_does_not(build_pool: BuildPool) -> None:
    pool, director = stalled(build_pool)
    scrape(pool, 2.0)
    assert director.dispatch(2.1) == []


def test_without_scrapes_it_is_tried_again_after_a_while(build_pool: BuildPool) -> None:
    _, director = stalled(build_pool)
    assert director.dispatch(2.0) == []
    assert director.next_look(2.0) == 2.0 + LONGEST
    ((_, outcome),) = director.dispatch(2.0 + LONGEST)
    fail(director, outcome, 3.1)
    assert director.dispatch(3.1) == []
    ((_, outcome),) = director.dispatch(3.1 + LONGEST)
    end(director, outcome, 4.5)
    assert len(director.dispatch(4.5)) == 1


def test_with_another_endpoint_everybody_goes_on(build_pool: BuildPool) -> None:
    director = direct(build_pool((0, 0, set()), (0, 0, set())))
    sent = [go(director), go(director)]
    wait(director)
    fail(director, sent[0], 2.0)
    assert len(director.dispatch(2.0)) == 1
    fail(director, sent[1], 2.0)
    wait(director, 2.0)
    assert director.dispatch(2.0) == []


def test_time_still_runs_out_for_those_who_wait(build_pool: BuildPool) -> None:
    _, director = stalled(build_pool)
    director.dispatch(2.0)
    assert len(director.dispatch(12.0)) == 3
    assert director.waiting == 0
