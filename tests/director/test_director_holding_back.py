"""In a pool whose answers are too slow the longest prompts wait for a while, and everybody else goes on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.conftest import BuildPool

from signalbox.director import Arrival, Director, Routed, Waiting, policy_rules
from signalbox.payloads import Usage
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

EXAMPLE = Path(__file__).parents[2] / "examples/scheduling/least-cost.yaml"
SHORT, LONG = "p" * 400, "p" * 40_000


@pytest.fixture
def pool(build_pool: BuildPool) -> Pool:
    return build_pool((0, 0, set()), (0, 0, set()))


class Clients:
    """Asks a director, and lets answers come at a pace."""

    def __init__(self, pool: Pool) -> None:
        rules = policy_rules(load_policy(EXAMPLE.read_text(), name="least-cost.yaml"), pool)
        self.director = Director(pool, rules, rng=random.Random(3))
        self.now = 0.0
        self.in_flight: list[Routed] = []
        self.gone: list[Waiting] = []

    def ask(self, prompt: str) -> Routed | Waiting:
        body = json.dumps({"model": "m", "prompt": prompt, "max_tokens": 10, "stream": True}).encode()
        outcome = self.director.arrive(Arrival("/v1/completions", body), self.now)
        assert isinstance(outcome, Routed | Waiting)
        if isinstance(outcome, Routed):
            self.in_flight.append(outcome)
        return outcome

    def answer(self, token_seconds: float) -> None:
        """The oldest request in flight gets 101 tokens at this pace, and all of it at once."""
        ticket = self.in_flight.pop(0).ticket
        assert ticket is not None
        self.director.first_byte(ticket, self.now, status=200)
        end = self.now + 100 * token_seconds
        self.director.finish(ticket, end, outcome="complete", status=200, usage=Usage(100, 101))

    def dispatched(self) -> list[Waiting]:
        """Those who have waited and go now."""
        found = self.director.dispatch(self.now)
        self.in_flight += [outcome for _, outcome in found if isinstance(outcome, Routed)]
        assert len(found) == sum(isinstance(outcome, Routed) for _, outcome in found)
        self.gone += [waiting for waiting, _ in found]
        return [waiting for waiting, _ in found]

    def hold(self) -> Waiting:
        """A long prompt that has to wait."""
        held = self.ask(LONG)
        assert isinstance(held, Waiting)
        return held

    def seconds_until_gone(self, held: Waiting, token_seconds: float) -> float:
        """Short prompts keep coming, whose answers have this pace, until ``held`` goes."""
        began, gone = self.now, list[Waiting]()
        while held not in gone:
            self.keep_busy(token_seconds, 1)
            gone += self.gone
            self.gone.clear()
        return self.now - began

    def rest(self, token_seconds: float) -> None:
        """Everybody gets an answer."""
        while self.in_flight or self.director.waiting:
            self.now += 0.1
            self.dispatched()
            while self.in_flight:
                self.answer(token_seconds)

    def keep_busy(self, token_seconds: float, count: int = 100) -> None:
        """Short prompts, ten in flight at a time, whose answers come at this pace."""
        for _ in range(count):
            self.now += 0.1
            self.ask(SHORT)
            self.dispatched()
            while len(self.in_flight) > 10:
                self.answer(token_seconds)


def test_a_long_prompt_waits_while_answers_are_slow_and_short_ones_pass(pool: Pool) -> None:
    clients = Clients(pool)
    clients.keep_busy(0.06)
    held = clients.hold()
    assert 1.0 <= held.wait.saturation < 2.0
    assert held.wait.ceiling == 1.0
    assert isinstance(clients.ask(SHORT), Routed)
    assert clients.dispatched() == []
    assert clients.director.waiting == 1


def test_it_goes_when_answers_have_become_faster(pool: Pool) -> None:
    clients = Clients(pool)
    clients.keep_busy(0.06)
    assert clients.seconds_until_gone(clients.hold(), 0.01) < 9.0, "not for having waited as long as anybody does"


def test_it_goes_after_ten_seconds_however_slow_answers_are(pool: Pool) -> None:
    clients = Clients(pool)
    clients.keep_busy(0.06)
    assert clients.seconds_until_gone(clients.hold(), 0.07) == pytest.approx(10.0, abs=0.11)
    clients.rest(0.06)
    assert not pool.columns.inflight.any(), "nothing is left of anybody"


def test_nobody_waits_in_an_idle_pool_however_slow_its_answers_were(pool: Pool) -> None:
    clients = Clients(pool)
    clients.keep_busy(0.9)
    clients.rest(0.9)
    assert isinstance(clients.ask(LONG), Routed)


def test_a_pool_with_fast_answers_holds_nobody_back(pool: Pool) -> None:
    clients = Clients(pool)
    clients.keep_busy(0.02)
    assert isinstance(clients.ask(LONG), Routed)
