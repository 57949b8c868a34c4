"""What requests in flight cost, from their routing to their end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.conftest import Objects

from signalbox.pool import Charge, Pool, Readings

OURS = ("inflight", "inflight_tokens", "prefill_tokens", "decoding", "context_tokens", "kv_tokens")


def account(pool: Pool, row: int) -> dict[str, float]:
    """What stands on one endpoint's account, zeros left out."""
    return {name: value for name in OURS if (value := float(getattr(pool.columns, name)[row]))}


def test_a_request_is_charged_its_uncached_prompt_and_its_expected_answer(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    (endpoint,) = pool.endpoints
    pool.acquire(endpoint, 100, 20, 300)
    assert account(pool, endpoint.row) == {
        "inflight": 1,
        "inflight_tokens": 120,
        "prefill_tokens": 100,
        "context_tokens": 420,
        "kv_tokens": 120,
    }


def test_at_the_first_token_the_prompt_is_computed_and_the_request_decodes(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    (endpoint,) = pool.endpoints
    charge = pool.acquire(endpoint, 100, 20, 300)
    pool.answered(charge)
    pool.answered(charge)
    assert account(pool, endpoint.row) == {
        "inflight": 1,
        "inflight_tokens": 20,
        "decoding": 1,
        "context_tokens": 420,
        "kv_tokens": 120,
    }
    pool.release(charge)
    assert account(pool, endpoint.row) == {}


def test_a_request_that_moves_takes_along_how_far_it_has_got(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    first, second = pool.endpoints
    begun, fresh = pool.acquire(first, 100, 20, 300), pool.acquire(first, 7, 3)
    pool.answered(begun)
    before = account(pool, first.row)
    pool.move(begun, second, 300)
    pool.move(fresh, second, 0)
    pool.move(fresh, second, 0)
    assert account(pool, first.row) == {}
    assert account(pool, second.row) == before


def test_a_request_that_moves_has_to_compute_there_what_is_not_cached_there(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    first, second = pool.endpoints
    charge = pool.acquire(first, 100, 20, 300)
    pool.move(charge, second, 50)
    assert (charge.prompt_tokens, charge.cached_tokens) == (350, 50)
    assert pool.columns.prefill_tokens[[first.row, second.row]].tolist() == [0, 350]
    assert pool.columns.context_tokens[[first.row, second.row]].tolist() == [0, 420]


def test_kv_counts_until_the_end_what_was_sent_since_the_scrape(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()))
    (endpoint,) = pool.endpoints
    pool.record(endpoint, Readings(block_size=16, kv_blocks=100), pool.begin_scrape(endpoint), 1.0)
    charge = pool.acquire(endpoint, 160, 160, 1600)
    pool.answered(charge)
    assert pool.columns.kv(pool.rows).tolist() == [0.2]
    pool.record(endpoint, Readings(kv_usage=0.2), pool.begin_scrape(endpoint), 2.0)
    assert pool.columns.kv(pool.rows).tolist() == [0.2]
    pool.release(charge)
    assert pool.columns.kv(pool.rows).tolist() == [0.2]


@pytest.mark.parametrize("tokens", [0.1, 1e-9, 3.3, 1e15])
def test_rounding_leaves_nothing_behind(build_pool: Any, tokens: float) -> None:
    pool = build_pool((0, 0, set()))
    (endpoint,) = pool.endpoints
    charges = [pool.acquire(endpoint, tokens * count, tokens / 3, tokens / 7) for count in range(1, 50)]
    for charge in charges[::2]:
        pool.answered(charge)
    for charge in charges:
        pool.release(charge)
    assert account(pool, endpoint.row) == {}


def test_columns_that_grew_are_the_ones_written_to(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()))
    first = pool.endpoints[0]
    charge = pool.acquire(first, 10)
    for index in range(20):
        pool.put(objects.pod(f"more-{index}", f"10.0.0.{index}"))
    assert len(pool.endpoints) == 21
    other = pool.acquire(pool.endpoints[-1], 30, 5)
    pool.answered(charge)
    assert account(pool, first.row) == {"inflight": 1, "decoding": 1, "context_tokens": 10, "kv_tokens": 10}
    assert account(pool, pool.endpoints[-1].row)["inflight_tokens"] == 35
    pool.release(charge)
    pool.release(other)
    assert all(account(pool, row) == {} for row in range(pool.columns.size))


class Ledger(RuleBasedStateMachine):
    """Requests begin, answer, move and end, in any order; servers report any numbers; endpoints leave and return.

    The model is the list of open charges: every column is at all times the sum over them, and exactly zero where there
    is none, whatever was believed in between.
    """

    def __init__(self) -> None:
        super().__init__()
        self.objects = Objects()
        self.pool = Pool("pool")
        self.pool.set_pool(self.objects.pool())
        self.open: list[Charge] = []
        self.now = 0.0
        for index in range(3):
            self.pool.put(self.objects.pod(f"p{index}", f"10.0.0.{index}"))

    @precondition(lambda self: self.pool.endpoints)
    @rule(where=st.integers(0, 9), prompt=st.integers(0, 5000), answer=st.integers(0, 900), cached=st.integers(0, 900))
    def send(self, where: int, prompt: int, answer: int, cached: int) -> None:
        endpoint = self.pool.endpoints[where % len(self.pool.endpoints)]
        self.open.append(self.pool.acquire(endpoint, prompt, answer, cached))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 99))
    def first_token(self, which: int) -> None:
        self.pool.answered(self.open[which % len(self.open)])

    @precondition(lambda self: self.open and self.pool.endpoints)
    @rule(which=st.integers(0, 99), where=st.integers(0, 9), cached=st.integers(0, 10))
    def fall_back(self, which: int, where: int, cached: int) -> None:
        charge, endpoint = self.open[which % len(self.open)], self.pool.endpoints[where % len(self.pool.endpoints)]
        self.pool.move(charge, endpoint, min(cached, charge.prompt_tokens + charge.cached_tokens))

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 99))
    def end(self, which: int) -> None:
        self.pool.release(self.open.pop(which % len(self.open)))

    @rule(index=st.integers(0, 2), ready=st.booleans())
    def flap(self, index: int, ready: bool) -> None:
        self.pool.put(self.objects.pod(f"p{index}", f"10.0.0.{index}", ready=ready))

    @precondition(lambda self: self.pool.endpoints)
    @rule(where=st.integers(0, 9), waiting=st.integers(0, 3), running=st.integers(0, 3), passed=st.floats(0, 5))
    def scrape(self, where: int, waiting: int, running: int, passed: float) -> None:
        endpoint = self.pool.endpoints[where % len(self.pool.endpoints)]
        mark = self.pool.begin_scrape(endpoint)
        self.now += passed
        self.pool.record(endpoint, Readings(waiting=waiting, running=running), mark, self.now)

    @invariant()
    def every_column_is_the_sum_over_the_open_requests(self) -> None:
        for row in range(self.pool.columns.size):
            here = [charge for charge in self.open if charge.endpoint.row == row]
            begun = [charge for charge in here if charge.answered]
            waiting = sum(charge.prompt_tokens for charge in here if not charge.answered)
            grown = sum(charge.prompt_tokens + charge.answer_tokens for charge in here)
            expected = {
                "inflight": len(here),
                "inflight_tokens": waiting + sum(charge.answer_tokens for charge in here),
                "prefill_tokens": waiting,
                "decoding": len(begun),
                "context_tokens": grown + sum(charge.cached_tokens for charge in here),
                "kv_tokens": grown,
            }
            assert account(self.pool, row) == {name: value for name, value in expected.items() if value}

    @invariant()
    def what_is_believed_lies_between_nothing_and_the_account(self) -> None:
        columns, rows = self.pool.columns, self.pool.rows
        requests = columns.requests(rows)
        assert ((requests >= 0) & (requests <= columns.inflight[rows])).all()
        for name in OURS:
            column = getattr(columns, name)
            believed = columns.believed(column, rows)
            assert ((believed >= 0) & (believed <= column[rows])).all()
            assert believed.tolist() == [columns.believed_at(column, row) for row in rows.tolist()]
        assert columns.unseen_rows == (columns.unseen > 0).sum()
        assert not columns.unseen[columns.inflight == 0].any()


Ledger.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestLedger: Any = Ledger.TestCase
