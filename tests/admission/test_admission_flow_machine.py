"""Whatever happens in whatever order: everybody who was queued leaves once, and leaves when a plain model says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.admission.waiting import band, put, queues, turn, turns_band

from signalbox.admission.flow import FlowQueues, Turn
from signalbox.scheduling.ceilings import PriorityHoldback
from signalbox.scheduling.ceilings.priority_holdback import PriorityHoldbackParameters
from signalbox.scheduling.ordering import SLODeadline

BANDS: dict[int, Any] = {1: turns_band(requests=4), 0: band(requests=5, size=40, ordering=SLODeadline())}
BELOW = band(requests=3)
MOST_REQUESTS, MOST_BYTES, TTL, EMPTY_TTL = 9, 60, 20.0, 35.0
CEILINGS = {1: 1.0, 0: 0.7, -1: 0.4}


class Naive:
    """Everybody in one list, looked through each time."""

    def __init__(self) -> None:
        self.waiting: list[Turn] = []
        self.rota: list[str] = []

    def of(self, priority: int) -> list[Turn]:
        return [one for one in self.waiting if one.flow.priority == priority]

    def refuses(self, one: Turn) -> bool:
        own = self.of(one.flow.priority)
        limits = BANDS.get(one.flow.priority, BELOW)
        return (
            len(own) + 1 > limits.max_requests
            or len(self.waiting) + 1 > MOST_REQUESTS
            or (limits.max_bytes is not None and sum(other.size for other in own) + one.size > limits.max_bytes)
            or sum(other.size for other in self.waiting) + one.size > MOST_BYTES
        )

    def add(self, one: Turn) -> None:
        self.waiting.append(one)
        if one.flow.priority == 1 and one.flow.fairness_id not in self.rota:
            self.rota.append(one.flow.fairness_id)

    def remove(self, one: Turn) -> None:
        self.waiting.remove(one)
        if all(other.flow.fairness_id != one.flow.fairness_id for other in self.of(1)):
            self.rota = [flow for flow in self.rota if flow != one.flow.fairness_id]

    def next(self, saturation: float) -> Turn | None:
        for priority in (1, 0, -1):
            if saturation >= CEILINGS[priority]:
                return None
            own = self.of(priority)
            if not own:
                continue
            if priority == 1:
                flow = self.rota.pop(0)
                self.rota.append(flow)
                return next(one for one in own if one.flow.fairness_id == flow)
            if priority == 0:
                return min(own, key=lambda one: float("inf") if one.slo_ttft is None else one.arrived + one.slo_ttft)
            return own[0]
        return None


class Waiting(RuleBasedStateMachine):
    """Three bands: flows that take turns; one queue by deadline; one in the order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queues = self._new()
        self.naive = Naive()
        self.left: Counter[int] = Counter()
        self.queued: list[Turn] = []
        self.empty, self.since = False, 0.0

    @staticmethod
    def _new() -> FlowQueues:
        limit = PriorityHoldback(PriorityHoldbackParameters(min_ceiling=0.4))
        bands = {**BANDS, -1: BELOW}
        whole: dict[str, Any] = {
            "max_requests": MOST_REQUESTS,
            "max_bytes": MOST_BYTES,
            "ttl": TTL,
            "no_endpoint_ttl": EMPTY_TTL,
        }
        return queues(bands, usage_limit=limit, **whole)

    def _left(self, one: Turn) -> None:
        self.left[id(one)] += 1
        self.naive.remove(one)

    @rule(
        flow=st.sampled_from(["", "a", "b", "c"]),
        priority=st.sampled_from([1, 0, -1]),
        size=st.integers(0, 20),
        slo=st.none() | st.integers(0, 30).map(float),
    )
    def offer(self, flow: str, priority: int, size: int, slo: float | None) -> None:
        self.now += 1
        one = turn(flow, priority, arrived=self.now, size=size, slo=slo)
        full = self.queues.offer(one, self.now)
        assert (full is not None) is self.naive.refuses(one)
        if full is None:
            self.naive.add(one)
            self.queued.append(one)

    @rule(saturation=st.sampled_from([0.0, 0.39, 0.4, 0.69, 0.7, 0.99, 1.0, 2.0]))
    def take(self, saturation: float) -> None:
        waited_by_flow = Counter(one.flow.fairness_id for one in self.naive.of(1))
        expected = self.naive.next(saturation)
        taken = self.queues.next(self.now, saturation)
        assert taken is expected
        if taken is not None:
            self._left(taken)
            assert taken.flow.priority != 1 or waited_by_flow[taken.flow.fairness_id]

    @rule(saturation=st.floats(0, 1.5), priority=st.sampled_from([1, 0, -1]))
    def pass_by(self, saturation: float, priority: int) -> None:
        above = [one for one in self.naive.waiting if one.flow.priority >= priority]
        open_for_all = all(saturation < CEILINGS[other] for other in (1, 0, -1) if other >= priority)
        assert self.queues.admits(turn("", priority, arrived=self.now), self.now, saturation) is (
            not above and open_for_all
        )

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.queued))
        waits = one in self.naive.waiting
        assert self.queues.withdraw(one, self.now) is waits
        if waits:
            self._left(one)

    @rule(seconds=st.integers(0, 15), empty=st.booleans())
    def pass_time(self, seconds: int, empty: bool) -> None:
        self.now += seconds
        if empty is not self.empty:
            self.empty, self.since = empty, self.now
        ttl = EMPTY_TTL if self.empty else TTL
        expected = [one for one in self.naive.waiting if max(one.arrived, self.since) + ttl <= self.now]
        gone = self.queues.expired(self.now, empty_pool=empty)
        assert gone == expected
        for one in gone:
            self._left(one)

    @rule()
    def reload(self) -> None:
        before, self.queues = self.queues, self._new()
        self.queues.adopt(before, self.now)
        assert len(before) == before.bytes == 0
        # Flows keep their places by who has waited longest.
        self.naive.rota = list(dict.fromkeys(one.flow.fairness_id for one in self.naive.of(1)))

    @rule()
    def drain(self) -> None:
        gone = self.queues.drain()
        assert gone == self.naive.waiting
        for one in list(gone):
            self._left(one)

    @invariant()
    def nobody_is_lost_or_told_twice(self) -> None:
        assert len(self.queues) == len(self.naive.waiting) == len(self.queued) - self.left.total()
        assert max(self.left.values(), default=0) <= 1

    @invariant()
    def counts_are_those_of_who_waits(self) -> None:
        for figures in self.queues.bands():
            own = self.naive.of(figures.priority)
            assert figures.requests == len(own)
            assert figures.bytes == sum(one.size for one in own)
            assert figures.flows == len({one.flow.fairness_id for one in own})
            assert figures.max_requests is not None
            assert figures.requests <= figures.max_requests
        assert self.queues.bytes == sum(one.size for one in self.naive.waiting) <= MOST_BYTES

    @invariant()
    def the_deadline_is_the_earliest(self) -> None:
        ttl = EMPTY_TTL if self.empty else TTL
        since = self.since if self.empty or self.since else float("-inf")
        ends = [max(one.arrived, since) + ttl for one in self.naive.waiting]
        assert self.queues.deadline() == (min(ends) if ends else None)


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=150, stateful_step_count=40)


def test_flows_that_take_turns_stay_within_one_of_each_other() -> None:
    waiting = queues({0: turns_band()})
    flows = {"a": 50, "b": 20, "c": 35}
    put(waiting, *(turn(flow, arrived=number) for flow, count in flows.items() for number in range(count)))
    served: Counter[str] = Counter()
    while (one := waiting.next(100.0, 0.0)) is not None:
        served[one.flow.fairness_id] += 1
        still = [served[flow] for flow, count in flows.items() if served[flow] < count]
        assert not still or max(still) - min(still) <= 1
    assert served == flows
