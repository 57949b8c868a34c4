"""Bodies that wait for their end, and the memory that all of them may take."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from signalbox.extproc.bodies import BodyBudget, HeldBody


@dataclass
class Sender:
    """Somebody whose body is kept until it is told to give it up."""

    budget: BodyBudget
    given_up: bool = False

    def __post_init__(self) -> None:
        self.body = HeldBody(self.budget, self._give_up)

    def _give_up(self) -> None:
        self.given_up = True
        self.body.drop()


@given(st.lists(st.integers(0, 9_000), max_size=30), st.binary(max_size=3))
def test_a_body_comes_out_as_it_went_in(sizes: list[int], last: bytes) -> None:
    budget = BodyBudget()
    pieces = [bytes((number % 256,)) * size for number, size in enumerate(sizes)]
    body = HeldBody(budget, lambda: None)
    for piece in pieces:
        body.add(piece)
    assert budget.held == body.size == sum(sizes)
    assert body.take(last) == b"".join(pieces) + last
    assert (budget.held, body.size, budget.holders) == (0, 0, {})


def test_a_body_in_one_piece_is_not_copied() -> None:
    piece = bytes(100)
    body = HeldBody(BodyBudget(), lambda: None)
    body.add(piece)
    assert body.take() is piece


def test_a_body_sent_byte_by_byte_costs_little_more_than_it_holds() -> None:
    body = HeldBody(BodyBudget(), lambda: None)
    for _ in range(200_000):
        body.add(b"x")
    pieces = body._pieces
    assert sum(sys.getsizeof(piece) for piece in pieces) + sys.getsizeof(pieces) < 1.3 * body.size


def test_the_longest_body_is_given_up_when_all_together_are_too_long() -> None:
    budget = BodyBudget(limit=1000)
    long, short, late = Sender(budget), Sender(budget), Sender(budget)
    long.body.add(bytes(600))
    short.body.add(bytes(300))
    late.body.add(bytes(101))
    assert [sender.given_up for sender in (long, short, late)] == [True, False, False]
    assert budget.held == 401


def test_whoever_is_the_longest_by_its_own_last_piece_is_given_up() -> None:
    budget = BodyBudget(limit=1000)
    first, second = Sender(budget), Sender(budget)
    first.body.add(bytes(400))
    second.body.add(bytes(601))
    assert (first.given_up, second.given_up, budget.held) == (False, True, 400)


def test_what_the_transport_keeps_counts_too() -> None:
    elsewhere = [0]
    budget = BodyBudget(limit=1000, elsewhere=lambda: elsewhere[0])
    sender = Sender(budget)
    sender.body.add(bytes(500))
    assert not sender.given_up
    elsewhere[0] = 500
    sender.body.add(b"x")
    assert sender.given_up
