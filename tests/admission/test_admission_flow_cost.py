"""What a request costs does not depend on how many flows there are; counted in steps, not in time."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from tests.admission.waiting import band, put, queues, turn

from signalbox.admission.flow import FlowQueues
from signalbox.admission.flow.band import Band
from signalbox.scheduling.fairness import GlobalStrict, ProgramAware, RoundRobin
from signalbox.scheduling.ranked import Ranked


class Steps:
    """Counts calls of everything a request goes through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        for owner in (Ranked, Band, FlowQueues):
            for name, method in list(vars(owner).items()):
                if callable(method) and not name.startswith("__"):
                    monkeypatch.setattr(owner, name, self._counting(method))

    def _counting(self, method: Any) -> Any:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.count += 1
            return method(*arguments, **named)

        return counted


def cost(monkeypatch: pytest.MonkeyPatch, fairness: Any, flows: int) -> float:
    """Steps for each request that comes and goes while so many flows wait."""
    waiting = queues({0: band(fairness=fairness)})
    for number in range(flows):
        waiting.finished(turn(f"flow-{number}").flow, int(2 ** (17 * (number * 0.618 % 1))), 5, 0.0)
        put(waiting, turn(f"flow-{number}", arrived=number / flows))
    with monkeypatch.context() as patch:
        steps = Steps(patch)
        for number in range(500):
            put(waiting, turn(f"flow-{number * 31 % flows}", arrived=1.0 + number))
            assert waiting.next(501.0, 0.0) is not None
        return steps.count / 500


@pytest.mark.parametrize(("fairness", "few"), [(GlobalStrict, 10), (RoundRobin, 10), (ProgramAware, 200)])
def test_ten_thousand_flows_cost_what_few_do(monkeypatch: pytest.MonkeyPatch, fairness: Any, few: int) -> None:
    """A program-aware policy looks at one flow of each class of service, of which there are some dozens at most."""
    assert cost(monkeypatch, fairness(), 10_000) < 1.5 * cost(monkeypatch, fairness(), few)


def test_a_heap_looks_at_few_entries_for_each_that_goes() -> None:
    ranked: Ranked[int] = Ranked()
    for item in range(10_000):
        ranked.put(item, (float(item % 97), item))
    for item in range(0, 10_000, 2):
        ranked.discard(item)
    while (first := ranked.first()) is not None:
        ranked.discard(first)
    assert ranked.steps < 6 * 10_000


@pytest.mark.parametrize("fairness", [GlobalStrict, RoundRobin, ProgramAware])
def test_flows_that_are_gone_leave_nothing_behind(fairness: Any) -> None:
    waiting = queues({0: band(fairness=fairness())})

    def come_and_go(count: int) -> int:
        for number in range(count):
            one = turn(f"flow-{number}", arrived=float(number))
            put(waiting, one)
            assert waiting.withdraw(one, 0.0) if number % 2 else waiting.next(0.0, 0.0) is one
        gc.collect()
        return len(gc.get_objects())

    come_and_go(100)
    assert abs(come_and_go(3000) - come_and_go(10)) < 200
    assert waiting.bands()[0].flows == 0
