"""The ring of decisions: what it keeps, for how long, and how much of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.observability.deciding import Deciding, arrival

from signalbox.director import Journal, Refusal
from signalbox.observability import DecisionLog
from signalbox.observability.decisions import (
    LONGEST,
    LONGEST_REASON,
    WIDE,
    Entry,
    Record,
    Standing,
    decided_at,
    request_id_of,
)
from signalbox.pool import Pool, Readings


def refusal(request_id: str = "r-1", at: float = 0.0, **fields: Any) -> Refusal:
    return Refusal(request_id, at, 429, "InferencePoolResourceExhausted", fields.pop("reason", "full"), **fields)


def ids(log: DecisionLog) -> list[str]:
    return [request_id_of(entry) for entry in log]


def test_it_is_a_journal() -> None:
    journal: Journal[Standing] = DecisionLog(Pool("pool"))
    assert journal.wants("r-1", 0.0)


def test_decisions_and_refusals_are_kept_in_the_order_they_were_made(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set())))
    made.route(arrival("a"), 1.0)
    made.refuse(arrival("b", model=""), 2.0)
    made.route(arrival("c"), 3.0)
    assert ids(made.log) == ["a", "b", "c"]
    assert [decided_at(entry) for entry in made.log] == [1.0, 2.0, 3.0]
    assert made.log.oldest == 1.0
    assert len(made.log) == 3


@given(st.integers(1, 8), st.lists(st.text(max_size=3), max_size=30), st.integers(0, 12))
def test_of_any_sequence_the_ring_holds_the_last_ones(capacity: int, request_ids: list[str], asked: int) -> None:
    log = DecisionLog(Pool("pool"), capacity)
    for number, request_id in enumerate(request_ids):
        log.refused(refusal(request_id, float(number)))
    kept = request_ids[-capacity:]
    assert ids(log) == kept
    assert len(log) == len(kept)
    assert [request_id_of(entry) for entry in log.latest(asked)] == (kept[-asked:] if asked else [])
    for request_id in request_ids:
        assert [request_id_of(entry) for entry in log.find(request_id)] == [k for k in kept if k == request_id]
    assert log.oldest == (float(len(request_ids) - len(kept)) if kept else None)


def test_an_empty_log_has_nothing() -> None:
    log = DecisionLog(Pool("pool"))
    assert (log.latest(5), log.find("r-1"), log.oldest) == ([], [], None)


class TestWhatClientsChoose:
    """Ids and names come from clients: what is kept of them is bounded."""

    @given(st.text(min_size=LONGEST - 2, max_size=3 * LONGEST))
    def test_a_refusal_keeps_the_beginnings(self, text: str) -> None:
        log = DecisionLog(Pool("pool"))
        log.refused(refusal(text, model=text, target=text, objective=text, reason=text * 20))
        (found,) = log.find(text)
        assert isinstance(found, Refusal)
        for value in (found.request_id, found.model, found.target, found.objective or ""):
            assert len(value) <= LONGEST
            assert value == text or (value.endswith("…") and text.startswith(value[:-1]))
        assert len(found.reason) <= LONGEST_REASON

    def test_a_ticket_keeps_the_beginnings_once_its_request_has_ended(self, build_pool: Any) -> None:
        made = Deciding(build_pool((0, 0, set())))
        long = "x" * 5000
        ticket = made.route(arrival(long, model=long, objective=long))
        assert ticket.model == long  # the metrics have yet to be told
        made.end(ticket, 1.0)
        assert {len(ticket.request_id), len(ticket.model), len(ticket.target)} == {LONGEST}
        assert ticket.objective is not None
        assert len(ticket.objective) == LONGEST
        assert made.log.find(long) == made.log.find(ticket.request_id) == list(made.log)


class TestSampling:
    def test_all_or_none_of_the_requests_with_one_id_are_kept(self) -> None:
        log = DecisionLog(Pool("pool"), sample=0.5)
        for number in range(200):
            assert len({log.wants(f"r-{number}", 0.0) for _ in range(3)}) == 1

    def test_two_pickers_sample_the_same_requests(self) -> None:
        logs = [DecisionLog(Pool("pool"), sample=0.3) for _ in range(2)]
        for number in range(200):
            assert len({log.wants(f"r-{number}", 0.0) for log in logs}) == 1

    @pytest.mark.parametrize("sample", [0.0, 0.1, 0.5, 1.0])
    def test_about_the_share_asked_for_is_kept(self, sample: float) -> None:
        log = DecisionLog(Pool("pool"), 10_000, sample)
        kept = sum(log.wants(f"request-{number}", 0.0) for number in range(4000))
        assert kept == pytest.approx(4000 * sample, abs=120)

    @pytest.mark.parametrize("sample", [0.0, 0.25, 1.0])
    def test_requests_without_an_id_are_counted_out(self, sample: float) -> None:
        log = DecisionLog(Pool("pool"), 1000, sample)
        assert sum(log.wants("", 0.0) for _ in range(100)) == 100 * sample

    @given(st.text(max_size=50))
    def test_any_text_may_be_an_id(self, request_id: str) -> None:
        assert DecisionLog(Pool("pool"), sample=0.5).wants(request_id, 0.0) in (True, False)
        DecisionLog(Pool("pool"), sample=0.5).wants("\ud800", 0.0)

    def test_what_is_not_sampled_is_not_passed_over(self) -> None:
        log = DecisionLog(Pool("pool"), sample=0.0)
        assert not log.wants("r-1", 0.0)
        assert log.passed_over == 0


class TestRate:
    def test_a_burst_fills_the_ring_and_no_more(self) -> None:
        log = DecisionLog(Pool("pool"), capacity=50, rate=10.0)
        assert [log.wants(str(number), 7.0) for number in range(60)] == [True] * 50 + [False] * 10
        assert log.passed_over == 10

    def test_after_a_burst_as_many_are_kept_as_the_rate_says(self) -> None:
        log = DecisionLog(Pool("pool"), capacity=10, rate=5.0)
        kept = sum(log.wants("r", number / 100) for number in range(1000))  # 100 a second for 10 s
        assert kept == pytest.approx(10 + 5 * 10, abs=1)

    def test_below_the_rate_nothing_is_passed_over(self) -> None:
        log = DecisionLog(Pool("pool"), capacity=3, rate=5.0)
        assert all(log.wants("r", number / 4) for number in range(1000))

    @given(st.integers(1, 20), st.floats(0.1, 1000), st.lists(st.floats(0, 5), max_size=60))
    def test_over_any_time_it_keeps_to_its_bound(self, capacity: int, rate: float, pauses: list[float]) -> None:
        log = DecisionLog(Pool("pool"), capacity, rate=rate)
        now = kept = 0.0
        for pause in pauses:
            now += pause
            kept += log.wants("r", now)
        assert kept <= capacity + rate * now + 1e-6 + 1


class TestWidePools:
    """Over `WIDE` rows not every decision is kept with its scores, so that memory does not grow with the pool."""

    def test_only_as_many_are_kept_whole_as_a_pool_of_128_would_hold(self, build_pool: Any) -> None:
        made = Deciding(build_pool(*[(0, 0, set())] * 200))
        assert made.pool.columns.size == 2 * WIDE
        for number in range(16):
            made.end(made.route(arrival(str(number))), 1.0)
        whole = [entry for entry in made.log if isinstance(entry, Record) and entry.rows is not None]
        assert len(whole) == 8
        bare = [entry for entry in made.log if isinstance(entry, Record) and entry.rows is None]
        assert all(step.rows is None for entry in bare for step in entry.decision.steps)
        assert all(entry.candidates == 200 and not entry.standing.ours for entry in bare)

    def test_a_refusal_keeps_no_arrays_there(self, build_pool: Any, objects: Any) -> None:
        pods = [(99.0, 0.99, set[str]())] * (WIDE + 1)
        made = Deciding(build_pool(*pods, resources=(objects.objective("batch", -1),)))
        made.refuse(arrival(objective="batch"))
        (entry,) = made.log
        assert isinstance(entry, Refusal)
        assert all(step.rows is None for step in entry.steps)


class TestCopies:
    def test_what_endpoints_reported_is_copied_once_between_two_scrapes(self, build_pool: Any) -> None:
        made = Deciding(build_pool((3, 0.2, set()), (3, 0.2, set())))
        made.route(arrival("a"))
        made.route(arrival("b"))
        endpoint = made.pool.endpoints[0]
        made.pool.record(endpoint, Readings(waiting=8, running=0), made.pool.begin_scrape(endpoint), 1.0)
        made.route(arrival("c"))
        a, b, c = (entry.standing for entry in made.log if isinstance(entry, Record))
        assert a.reported is b.reported
        assert c.reported is not b.reported
        assert a.ours != b.ours


class TestFollowers:
    def test_they_hear_of_decisions_refusals_and_ends(self, build_pool: Any) -> None:
        made = Deciding(build_pool((0, 0, set())))
        heard: list[tuple[str, bool]] = []

        def hear(entry: Entry) -> None:
            ended = isinstance(entry, Record) and entry.ticket.completion is not None
            heard.append((request_id_of(entry), ended))

        made.log.follow(hear)
        ticket = made.route(arrival("a"))
        made.refuse(arrival("b", model=""))
        made.end(ticket, 1.0)
        made.log.unfollow(hear)
        made.route(arrival("c"))
        assert heard == [("a", False), ("b", False), ("a", True)]

    def test_the_end_of_a_request_that_has_left_the_ring_is_not_told(self, build_pool: Any) -> None:
        pool = build_pool((0, 0, set()))
        made = Deciding(pool, log=DecisionLog(pool, capacity=1))
        ticket = made.route(arrival("a"))
        made.route(arrival("b"), 1.0)
        heard: list[Entry] = []
        made.log.follow(heard.append)
        made.end(ticket, 1.0)
        assert heard == []
