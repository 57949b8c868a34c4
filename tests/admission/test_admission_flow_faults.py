"""Policies that fail are passed over, counted, and lose nobody."""

from __future__ import annotations

from typing import Any

import pytest
from tests.admission.waiting import band, order, put, queues, turn

from signalbox.admission.flow import Turn
from signalbox.scheduling import Parameters
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.queueing import FairnessPlugin, Flow, OrderingPlugin, Rota, UsageLimitPlugin


class Whim(FairnessPlugin[Parameters]):
    """Keeps no order: names whatever flow it is told to, or raises it."""

    type = "whim"
    answer: Any = "b"
    fails_at: tuple[str, ...] = ()

    def rota(self) -> Any:
        """Return what keeps the order."""
        self.may_fail("rota")
        return WhimRota(self) if self.answer != "no rota" else object()

    def may_fail(self, where: str) -> None:
        """Raise, if that is where it does."""
        if where in self.fails_at:
            raise RuntimeError(f"no luck in {where}")

    def charge(self, flow: Flow, prompt_tokens: int, answer_tokens: int, now: float) -> None:
        """Count nothing."""
        self.may_fail("charge")


class WhimRota(Rota):
    """Says what the plugin says."""

    def __init__(self, plugin: Whim) -> None:
        self.plugin = plugin

    def head(self, flow: str, turn: Turn, rank: Any) -> None:
        self.plugin.may_fail("head")

    def left(self, flow: str) -> None:
        self.plugin.may_fail("left")

    def pick(self, now: float) -> Any:
        self.plugin.may_fail("pick")
        return self.plugin.answer

    def took(self, flow: str, now: float) -> None:
        self.plugin.may_fail("took")

    def charged(self, flow: str, now: float) -> None:
        self.plugin.may_fail("charged")


def whim(answer: Any = "b", *fails_at: str) -> Whim:
    plugin = Whim()
    plugin.answer, plugin.fails_at = answer, fails_at
    return plugin


def test_a_fairness_policy_of_ones_own_is_obeyed() -> None:
    faults = Faults()
    waiting = queues({0: band(fairness=whim("b"))}, faults=faults)
    put(waiting, turn("a", arrived=1), turn("b", arrived=2))
    one = waiting.next(3.0, 0.0)
    assert one is not None
    assert one.payload == "b+0@2"
    assert not faults.counts


@pytest.mark.parametrize("answer", ["gone", 7, None, ["b"], "no rota"])
def test_a_flow_of_which_nobody_waits_is_a_fault_and_the_default_policy_answers(answer: Any) -> None:
    faults = Faults()
    waiting = queues({0: band(fairness=whim(answer))}, faults=faults)
    put(waiting, turn("b", arrived=1), turn("a", arrived=2), turn("b", arrived=3))
    assert order(waiting) == ["b+0@1", "a+0@2", "b+0@3"]
    assert faults.counts == {"whim": 1 if answer == "no rota" else 3}


@pytest.mark.parametrize("where", ["rota", "head", "left", "pick", "took"])
def test_wherever_a_fairness_policy_fails_everybody_gets_a_turn(where: str) -> None:
    faults = Faults()
    waiting = queues({0: band(fairness=whim("a", where))}, faults=faults)
    put(waiting, turn("a", arrived=1), turn("b", arrived=2), turn("a", arrived=3))
    assert sorted(order(waiting)) == ["a+0@1", "a+0@3", "b+0@2"]
    assert faults.counts["whim"] > 0
    assert (len(waiting), waiting.bytes, waiting.bands()[0].flows) == (0, 0, 0)


def test_the_default_order_stays_right_after_a_first_fault() -> None:
    waiting = queues({0: band(fairness=whim("nobody"))})
    gone = turn("a", arrived=2)
    put(waiting, turn("b", arrived=1), gone)
    assert waiting.next(9.0, 0.0) is not None
    put(waiting, turn("c", arrived=3), turn("a", arrived=4))
    assert waiting.withdraw(gone, 9.0)
    assert order(waiting) == ["c+0@3", "a+0@4"]


@pytest.mark.parametrize("where", ["charge", "charged"])
def test_service_that_cannot_be_counted_ends_nothing(where: str) -> None:
    faults = Faults()
    waiting = queues({0: band(fairness=whim("a", where))}, faults=faults)
    waiting.finished(Flow("a", 0), 1, 1, 0.0)
    assert faults.counts == {"whim": 1}


class Sorts(OrderingPlugin[Parameters]):
    """Sorts by what it is told to."""

    type = "sorts"
    keys: tuple[Any, ...] = ()

    def key(self, turn: Turn) -> Any:
        """Return the next one, or raise it."""
        found, *rest = self.keys
        self.keys = tuple(rest)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.mark.parametrize("wrong", [None, "soon", float("nan"), RuntimeError("no luck"), 1j])
def test_a_request_without_a_key_goes_last_and_is_a_fault(wrong: Any) -> None:
    ordering = Sorts()
    ordering.keys = (wrong, 5.0, 3, float("inf"))
    faults = Faults()
    waiting = queues({0: band(ordering=ordering)}, faults=faults)
    put(waiting, *(turn(arrived=number) for number in range(4)))
    assert order(waiting) == ["+0@2", "+0@1", "+0@0", "+0@3"]
    assert faults.counts == {"sorts": 1}


class Writes(OrderingPlugin[Parameters]):
    """Would make the request another one."""

    type = "writes"
    field = ""

    def key(self, turn: Turn) -> float:
        """Write to the turn."""
        setattr(turn, self.field, None)
        return 1.0


@pytest.mark.parametrize("field", ["flow", "size", "arrived", "ttl", "payload"])
def test_a_policy_that_writes_to_a_turn_is_at_fault_and_nobody_is_lost(field: str) -> None:
    ordering, faults = Writes(), Faults()
    ordering.field = field
    waiting = queues({0: band(ordering=ordering)}, faults=faults, ttl=10.0)
    put(waiting, turn(arrived=1, size=7), turn(arrived=2, size=5))
    assert waiting.bytes == 12
    assert order(waiting, now=3.0) == ["+0@1", "+0@2"]
    assert waiting.bytes == 0
    assert faults.counts == {"writes": 2}


class Limits(UsageLimitPlugin[Parameters]):
    """Ceilings as it is told."""

    type = "limits"
    answer: Any = None

    def ceilings(self, saturation: float, priorities: Any) -> Any:
        """Return them, or raise them."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("wrong", [None, [], [0.1], [0.1, 0.1, 0.1], [0.1, float("nan")], ["a", "b"], KeyError("x")])
def test_ceilings_that_are_none_leave_the_default_one(wrong: Any) -> None:
    limits, faults = Limits(), Faults()
    limits.answer = wrong
    waiting = queues({1: band()}, usage_limit=limits, faults=faults)
    put(waiting, turn())
    assert waiting.next(1.0, 1.0) is None
    assert waiting.next(1.0, 0.99) is not None
    assert faults.counts == {"limits": 2}


def test_ceilings_of_ones_own_are_obeyed() -> None:
    limits = Limits()
    limits.answer = (2, 0.5)
    waiting = queues({1: band()}, usage_limit=limits)
    put(waiting, turn(), turn(priority=1))
    assert order(waiting, 0.5) == ["+1@0"]


class Singles(UsageLimitPlugin[Parameters]):
    """Says of a single request what it is told to."""

    type = "singles"
    answer: Any = 0.5
    fails_at: str = ""

    def ceilings(self, saturation: float, priorities: Any) -> list[float]:
        return [0.8] * len(priorities)

    def arrived(self, turn: Turn) -> None:
        if self.fails_at == "arrived":
            raise RuntimeError("no luck")

    def ceiling(self, turn: Turn, ceiling: float, now: float) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [None, "much", float("nan"), RuntimeError("no luck"), [0.5]])
def test_a_request_without_a_ceiling_has_its_bands_and_that_is_a_fault(answer: Any) -> None:
    limit, faults = Singles(), Faults()
    limit.answer = answer
    waiting = queues(usage_limit=limit, faults=faults)
    assert waiting.admits(turn(), 0.0, 0.7)
    assert not waiting.admits(turn(), 0.0, 0.8)
    put(waiting, turn(arrived=1))
    assert order(waiting, 0.8) == []
    assert order(waiting, 0.7) == ["+0@1"]
    assert faults.counts["singles"] >= 4
    assert len(waiting) == 0


def test_a_limit_that_cannot_be_told_of_arrivals_still_limits() -> None:
    limit, faults = Singles(), Faults()
    limit.fails_at = "arrived"
    waiting = queues(usage_limit=limit, faults=faults)
    assert waiting.admits(turn(), 0.0, 0.4)
    assert not waiting.admits(turn(), 0.0, 0.6)
    assert faults.counts == {"singles": 2}
