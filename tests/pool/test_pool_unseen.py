"""Requests on our account that their server does not show."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.pool import Endpoint, Pool, Readings
from signalbox.pool.unseen import PERIOD


def scrape(pool: Pool, endpoint: Endpoint, now: float, running: float | None, waiting: float | None = 0) -> None:
    pool.record(endpoint, Readings(waiting=waiting, running=running), pool.begin_scrape(endpoint), now)


def counted(pool: Pool) -> float:
    """Requests the first endpoint is believed to have."""
    return float(pool.columns.requests(pool.rows)[0])


def holding(build_pool: Any, requests: int, tokens: float = 100) -> tuple[Pool, Endpoint, list[Any]]:
    pool: Pool = build_pool((0, 0, set()))
    endpoint = pool.endpoints[0]
    return pool, endpoint, [pool.acquire(endpoint, tokens) for _ in range(requests)]


def test_ends_that_were_lost_stop_counting_after_a_period_of_scrapes_that_do_not_show_them(build_pool: Any) -> None:
    pool, endpoint, _ = holding(build_pool, 10)
    for step in range(21):
        assert counted(pool) == 10
        scrape(pool, endpoint, step * PERIOD / 20, running=3)
    scrape(pool, endpoint, 2 * PERIOD, running=3)
    assert counted(pool) == 3
    assert pool.columns.believed(pool.columns.inflight_tokens, pool.rows).tolist() == [300]
    assert pool.columns.inflight[endpoint.row] == 10


def test_what_comes_after_counts_in_full(build_pool: Any) -> None:
    pool, endpoint, _ = holding(build_pool, 10)
    for now in (0.0, PERIOD, 2 * PERIOD):
        scrape(pool, endpoint, now, running=0)
    assert counted(pool) == 0
    for number in range(1, 5):
        pool.acquire(endpoint, 100)
        assert counted(pool) == number


def test_one_scrape_that_shows_more_is_believed_at_once(build_pool: Any) -> None:
    pool, endpoint, _ = holding(build_pool, 10)
    for now in (0.0, PERIOD, 2 * PERIOD):
        scrape(pool, endpoint, now, running=0)
    scrape(pool, endpoint, 2 * PERIOD + 0.1, running=8)
    assert counted(pool) == 8
    scrape(pool, endpoint, 2 * PERIOD + 0.2, running=9, waiting=1)
    assert counted(pool) == 10
    assert pool.columns.unseen_rows == 0


def test_requests_on_their_way_are_not_mistaken_for_lost_ones(build_pool: Any) -> None:
    """Most scrapes miss a request that was just sent or has just ended, but not all of them."""
    pool, endpoint, charges = holding(build_pool, 3)
    for step in range(200):
        scrape(pool, endpoint, step * 0.05, running=3 if step % 10 == 0 else 2)
        assert counted(pool) == 3
        charges.append(pool.acquire(endpoint, 100))
        pool.release(charges.pop(0))


def test_more_that_is_lost_later_is_found_as_well(build_pool: Any) -> None:
    pool, endpoint, _ = holding(build_pool, 1)
    now = 0.0
    for _ in range(3):
        scrape(pool, endpoint, now, running=0)
        now += PERIOD
    for _ in range(4):
        pool.acquire(endpoint, 100)
    assert counted(pool) == 4
    for _ in range(3):
        scrape(pool, endpoint, now, running=0)
        now += PERIOD
    assert counted(pool) == 0


def test_the_correction_ends_with_the_last_request(build_pool: Any) -> None:
    pool, endpoint, charges = holding(build_pool, 3)
    for now in (0.0, PERIOD, 2 * PERIOD):
        scrape(pool, endpoint, now, running=0)
    for charge in charges:
        pool.release(charge)
    assert pool.columns.unseen_rows == 0
    pool.acquire(endpoint, 100)
    scrape(pool, endpoint, 2 * PERIOD + 0.1, running=0)
    assert counted(pool) == 1


@pytest.mark.parametrize(("running", "waiting"), [(None, 0), (0, None), (None, None)])
def test_a_server_that_does_not_report_both_numbers_proves_nothing(
    build_pool: Any, running: float | None, waiting: float | None
) -> None:
    pool, endpoint, _ = holding(build_pool, 2)
    for step in range(5):
        scrape(pool, endpoint, step * PERIOD, running, waiting)
    assert counted(pool) == 2


def test_requests_of_other_gateways_only_hide_what_is_missing(build_pool: Any) -> None:
    pool, endpoint, _ = holding(build_pool, 4)
    for step in range(5):
        scrape(pool, endpoint, step * PERIOD, running=40)
    assert counted(pool) == 4


def test_an_endpoint_that_left_for_good_leaves_no_correction(build_pool: Any, objects: Any) -> None:
    pool, endpoint, charges = holding(build_pool, 2)
    for now in (0.0, PERIOD, 2 * PERIOD):
        scrape(pool, endpoint, now, running=0)
    assert pool.columns.unseen_rows == 1
    pool.remove(objects.pod(endpoint.pod, "").key)
    assert not pool.endpoints
    for charge in charges:
        pool.release(charge)
    assert pool.columns.unseen_rows == 0
    assert not pool.columns.unseen.any()


def test_a_new_endpoint_inherits_nothing_from_who_had_its_row(build_pool: Any, objects: Any) -> None:
    """The last request of the one before ended while a page was read that did not show it any more."""
    pool, endpoint, (charge,) = holding(build_pool, 1)
    mark = pool.begin_scrape(endpoint)
    pool.release(charge)
    pool.record(endpoint, Readings(waiting=0, running=0), mark, 0.0)
    pool.remove(objects.pod(endpoint.pod, "").key)
    assert [*pool.endpoints] == []
    pool.put(objects.pod("successor", "10.0.0.9"))
    (successor,) = pool.endpoints
    assert successor.row == endpoint.row
    for _ in range(10):
        pool.acquire(successor, 100)
    scrape(pool, successor, PERIOD, running=0)
    assert counted(pool) == 10
    assert pool.columns.unseen_rows == 0


def test_a_scrape_of_who_had_the_row_before_is_not_the_new_endpoints(build_pool: Any, objects: Any) -> None:
    pool, endpoint, (charge,) = holding(build_pool, 1)
    mark = pool.begin_scrape(endpoint)
    pool.release(charge)
    pool.remove(objects.pod(endpoint.pod, "").key)
    assert [*pool.endpoints] == []
    pool.put(objects.pod("successor", "10.0.0.9"))
    (successor,) = pool.endpoints
    pool.record(endpoint, Readings(waiting=77, running=5), mark, 1.0)
    pool.scrape_failed(endpoint, 1.0)
    assert pool.columns.waiting[successor.row] == 0
    assert pool.columns.failed_scrapes[successor.row] == 0
