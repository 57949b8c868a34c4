"""Who waits where, whose turn it is, and whose time has run out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.admission.waiting import band, order, put, queues, turn, turns_band

from signalbox.admission.flow import BandFigures, Flow, FlowQueues, Turn
from signalbox.admission.flow.queues import IDLE
from signalbox.scheduling.ceilings import PriorityHoldback, SoftReflectiveCeiling, StaticUsageLimit
from signalbox.scheduling.ceilings.priority_holdback import PriorityHoldbackParameters
from signalbox.scheduling.fairness import ProgramAware


def test_higher_priorities_go_first_and_within_one_whoever_came_first() -> None:
    waiting = queues()
    put(waiting, turn(arrived=1), turn(priority=5, arrived=2), turn(priority=-3, arrived=3), turn(arrived=4))
    assert order(waiting) == ["+5@2", "+0@1", "+0@4", "-3@3"]
    assert len(waiting) == 0


def test_nobody_goes_while_the_pool_is_full() -> None:
    waiting = queues()
    put(waiting, turn(priority=9))
    assert waiting.next(1.0, 1.0) is None
    assert waiting.next(1.0, 1.7) is None
    assert len(waiting) == 1
    assert order(waiting, 0.99) == ["+9@0"]


@pytest.fixture
def held_back() -> FlowQueues:
    """Ceilings 1, 0.75 and 0.5 for priorities 10, 0 and -10."""
    limit = PriorityHoldback(PriorityHoldbackParameters(min_ceiling=0.5))
    return queues({10: band(), 0: band(), -10: band()}, usage_limit=limit)


@pytest.mark.parametrize(
    ("saturation", "gone"),
    [(0.4, ["+10@0", "+0@0", "-10@0"]), (0.5, ["+10@0", "+0@0"]), (0.75, ["+10@0"]), (0.9, ["+10@0"]), (1.0, [])],
)
def test_the_first_band_whose_ceiling_is_reached_ends_the_walk(
    held_back: FlowQueues, saturation: float, gone: list[str]
) -> None:
    put(held_back, *(turn(priority=priority) for priority in (-10, 0, 10)))
    assert order(held_back, saturation) == gone


@pytest.mark.parametrize(
    ("limit", "saturation", "held_up"),
    [
        (StaticUsageLimit(), 0.9, False),
        (StaticUsageLimit(), 1.0, True),
        (PriorityHoldback(PriorityHoldbackParameters(min_ceiling=0.4)), 0.5, True),
        (SoftReflectiveCeiling(), 0.8, False),  # closed at this look, and open at another
        (SoftReflectiveCeiling(), 1.0, True),
    ],
)
def test_a_full_pool_is_told_from_a_policy_that_lets_nobody_go(limit: Any, saturation: float, held_up: bool) -> None:
    waiting = queues({5: band()}, usage_limit=limit)
    put(waiting, turn())
    gone = waiting.next(1.0, saturation)
    assert waiting.held_up is held_up
    assert gone is None or not held_up
    order(waiting)
    assert waiting.next(1.0, 1.0) is None
    assert not waiting.held_up, "nobody waits"


def test_a_closed_band_stops_lower_ones_though_nobody_waits_in_it(held_back: FlowQueues) -> None:
    """Ceilings that rise towards low priorities let nobody pass."""

    class Inverted(StaticUsageLimit):
        def ceilings(self, saturation: float, priorities: Any) -> list[float]:
            return [0.2, 0.9, 0.9]

    waiting = queues({10: band(), 0: band(), -10: band()}, usage_limit=Inverted())
    put(waiting, turn())
    assert order(waiting, 0.5) == []
    assert not waiting.admits(turn(arrived=1.0), 1.0, 0.5)
    assert order(waiting, 0.1) == ["+0@0"]


@pytest.mark.parametrize(
    ("priority", "saturation", "admitted"),
    [(0, 0.0, False), (-5, 0.0, False), (7, 0.0, True), (7, 0.99, True), (7, 1.0, False)],
)
def test_a_newcomer_passes_only_those_who_matter_less(priority: int, saturation: float, admitted: bool) -> None:
    waiting = queues()
    put(waiting, turn())
    assert waiting.admits(turn(priority=priority, arrived=1.0), 1.0, saturation) is admitted
    assert len(waiting) == 1, "asking queues nobody"


def test_a_newcomer_of_an_unknown_priority_is_held_to_its_own_ceiling() -> None:
    waiting = queues(usage_limit=PriorityHoldback(PriorityHoldbackParameters(min_ceiling=0.5)))
    assert waiting.admits(turn(arrived=1.0), 1.0, 0.6)
    assert not waiting.admits(turn(priority=-1, arrived=1.0), 1.0, 0.6)
    assert waiting.admits(turn(arrived=1.0), 1.0, 0.6)


def test_a_priority_without_a_band_gets_one_by_the_template_for_its_sign() -> None:
    waiting = queues({100: band(7)}, default=band(5), negative=band(2))
    put(waiting, turn(priority=100), turn(priority=3), turn(priority=-3))
    assert [(figures.priority, figures.max_requests) for figures in waiting.bands()] == [
        (100, 7),
        (3, 5),
        (0, 5),
        (-3, 2),
    ]


def test_a_band_of_its_own_priority_lives_as_long_as_it_is_used() -> None:
    waiting = queues({4: band()})
    one = turn(priority=-2)
    put(waiting, one)
    waiting.expired(IDLE * 3, empty_pool=False)
    assert [figures.priority for figures in waiting.bands()] == [4, 0, -2], "somebody waits"
    assert waiting.withdraw(one, IDLE * 3)
    waiting.expired(IDLE * 4, empty_pool=False)
    assert len(waiting.bands()) == 3
    waiting.expired(IDLE * 4 + 1, empty_pool=False)
    assert [figures.priority for figures in waiting.bands()] == [4, 0]


@pytest.mark.parametrize(
    ("limits", "whole", "words"),
    [
        ({"requests": 2}, {}, "the band of priority 0: 2 requests wait, of 2"),
        ({}, {"max_requests": 2}, "all bands together: 2 requests wait, of 2"),
        ({"size": 25}, {}, "the band of priority 0: 20 bytes wait, of 25, and this request has 10"),
        ({}, {"max_bytes": 25}, "all bands together: 20 bytes wait, of 25, and this request has 10"),
    ],
)
def test_a_full_queue_is_said_in_words(limits: dict[str, Any], whole: dict[str, Any], words: str) -> None:
    waiting = queues({0: band(**limits)}, **whole)
    put(waiting, turn(size=10), turn(size=10))
    assert waiting.offer(turn(size=10), 1.0) == words
    assert len(waiting) == 2
    assert waiting.next(1.0, 0.0) is not None
    assert waiting.offer(turn(size=10), 1.0) is None, "a place became free"


def test_a_limit_may_be_reached_and_not_passed() -> None:
    waiting = queues({0: band(size=20)})
    put(waiting, turn(size=10), turn(size=10))
    assert waiting.offer(turn(size=0), 1.0) is None
    assert waiting.offer(turn(size=1), 1.0) is not None


def test_a_full_band_leaves_the_others_alone() -> None:
    waiting = queues({0: band(1), 1: band(1)})
    put(waiting, turn())
    assert waiting.offer(turn(), 0.0) is not None
    assert waiting.offer(turn(priority=1), 0.0) is None


def test_figures_say_how_much_waits() -> None:
    waiting = queues({0: band(9, 99)})
    put(waiting, turn("a", size=3), turn("b", size=4), turn("a", size=5))
    assert waiting.bands() == (BandFigures(0, 3, 12, 2, 9, 99),)
    assert waiting.bytes == 12
    order(waiting)
    assert waiting.bands() == (BandFigures(0, 0, 0, 0, 9, 99),)
    assert waiting.bytes == 0


def test_whoever_withdraws_is_gone_once() -> None:
    waiting = queues({0: turns_band()})
    one, other = turn("a"), turn("a")
    put(waiting, one, other)
    assert waiting.withdraw(one, 1.0)
    assert not waiting.withdraw(one, 1.0)
    assert waiting.next(1.0, 0.0) is other
    assert not waiting.withdraw(other, 1.0), "its turn has come"
    assert not waiting.withdraw(turn("a"), 1.0), "never waited"


def test_time_runs_out_in_the_order_of_arrival() -> None:
    waiting = queues(ttl=10.0)
    first, second, third = turn(arrived=0), turn(priority=5, arrived=1), turn(arrived=2)
    put(waiting, third, first, second)
    assert first.ttl == 10.0
    assert waiting.deadline() == 10.0
    assert waiting.expired(9.99, empty_pool=False) == []
    assert waiting.expired(11.0, empty_pool=False) == [first, second]
    assert waiting.deadline() == 12.0
    assert order(waiting) == [third.payload]
    assert waiting.deadline() is None


def test_without_a_ttl_nobody_is_given_up() -> None:
    waiting = queues()
    put(waiting, turn())
    assert waiting.deadline() is None
    assert waiting.expired(1e9, empty_pool=False) == []


def test_an_empty_pool_has_a_time_of_its_own_and_each_change_starts_it_anew() -> None:
    waiting = queues(ttl=10.0, no_endpoint_ttl=300.0)
    one = turn(arrived=0)
    put(waiting, one)
    assert waiting.expired(5.0, empty_pool=True) == []
    assert waiting.deadline() == 305.0
    assert waiting.expired(200.0, empty_pool=True) == []
    assert waiting.expired(201.0, empty_pool=False) == [], "a server has come: the request is not given up for that"
    assert waiting.deadline() == 211.0
    newcomer = turn(arrived=205.0)
    put(waiting, newcomer)
    assert waiting.expired(211.0, empty_pool=False) == [one]
    assert waiting.deadline() == 215.0


def test_an_empty_pool_may_be_waited_for_without_end() -> None:
    waiting = queues(ttl=10.0)
    put(waiting, turn())
    assert waiting.expired(1e6, empty_pool=True) == []
    assert waiting.deadline() is None


def test_everybody_can_be_taken_out_at_once() -> None:
    waiting = queues()
    put(waiting, turn("a", 1, arrived=2), turn("b", 0, arrived=1), turn("c", -1, arrived=3))
    assert [one.payload for one in waiting.drain()] == ["b+0@1", "a+1@2", "c-1@3"]
    assert (len(waiting), waiting.bytes, waiting.drain()) == (0, 0, [])


def test_a_reload_refuses_nobody_and_changes_how_everybody_waits() -> None:
    before = queues({0: band()}, ttl=60.0)
    put(before, *(turn("a", arrived=number) for number in range(3)), turn("b", arrived=3))
    after = queues({0: turns_band(requests=2)}, ttl=20.0)
    after.adopt(before, 4.0)
    assert (len(before), len(after)) == (0, 4)
    assert after.offer(turn("c", arrived=4), 4.0) == "the band of priority 0: 4 requests wait, of 2"
    assert after.deadline() == 20.0
    assert order(after) == ["a+0@0", "b+0@3", "a+0@1", "a+0@2"]


def test_a_reload_remembers_that_the_pool_is_empty() -> None:
    before, after = queues(no_endpoint_ttl=50.0), queues(no_endpoint_ttl=70.0)
    before.expired(10.0, empty_pool=True)
    put(before, turn(arrived=0))
    after.adopt(before, 11.0)
    assert after.deadline() == 80.0


def test_service_is_told_to_the_policy_of_the_band() -> None:
    fairness = ProgramAware()
    waiting = queues({0: band(fairness=fairness), 1: band()})
    waiting.finished(Flow("a", 0), 100, 50, 1.0)
    waiting.finished(Flow("b", 1), 100, 50, 1.0)
    assert fairness.service.tokens("a", 1.0) == pytest.approx(200)
    assert fairness.service.tokens("b", 1.0) == 0


class Slim(StaticUsageLimit):
    """Who has a large body waits below the band's ceiling, for a while."""

    def ceiling(self, turn: Turn, ceiling: float, now: float) -> float:
        return 0.5 if turn.size > 10 and now - turn.arrived < 5.0 else ceiling


def test_a_newcomer_passes_by_one_of_its_priority_that_waits_for_a_lower_ceiling() -> None:
    waiting = queues(usage_limit=Slim())
    put(waiting, turn(size=100))
    assert waiting.admits(turn(arrived=1.0), 1.0, 0.7)
    assert not waiting.admits(turn(arrived=1.0, size=100), 1.0, 0.7)
    assert waiting.ceiling == 0.5, "what the last one may go below"
    assert not waiting.admits(turn(arrived=1.0), 1.0, 1.0)
    assert order(waiting, 0.7, now=1.0) == []
    assert waiting.held_up


def test_a_newcomer_does_not_pass_by_one_that_may_go() -> None:
    waiting = queues(usage_limit=Slim())
    put(waiting, turn(size=100))
    assert not waiting.admits(turn(arrived=1.0), 1.0, 0.4)
    assert not waiting.admits(turn(arrived=6.0), 6.0, 0.7), "it has waited long enough"
    assert order(waiting, 0.7, now=6.0) == ["+0@0"]


def test_who_matters_less_passes_by_one_that_is_held_back_for_itself() -> None:
    waiting = queues({10: band()}, usage_limit=Slim())
    put(waiting, turn(priority=10, size=100), turn(arrived=1.0))
    assert waiting.admits(turn(priority=-5, arrived=2.0), 2.0, 0.7) is False, "one of priority 0 waits and may go"
    assert order(waiting, 0.7, now=2.0) == ["+0@1"]
    assert waiting.held_up, "the other one still waits for room"
    assert waiting.admits(turn(arrived=2.0), 2.0, 0.7)
    assert not waiting.admits(turn(arrived=2.0), 2.0, 0.4), "it may go, and goes first"
    assert not waiting.admits(turn(arrived=2.0), 2.0, 1.0)
    assert order(waiting, 0.7, now=6.0) == ["+10@0"]


class Patient(StaticUsageLimit):
    """Who has waited for five seconds goes at any saturation."""

    def ceiling(self, turn: Turn, ceiling: float, now: float) -> float:
        return math.inf if now - turn.arrived >= 5.0 else ceiling


def test_who_may_go_at_any_saturation_goes_from_a_closed_band() -> None:
    waiting = queues(usage_limit=Patient())
    put(waiting, turn(), turn(arrived=3.0))
    assert order(waiting, 9.0, now=4.9) == []
    assert order(waiting, 9.0, now=5.0) == ["+0@0"]
    assert waiting.held_up
    assert order(waiting, 9.0, now=8.0) == ["+0@3"]
