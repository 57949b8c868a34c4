"""The requests of one director that wait: who may go straight on, whose turn it is, whose time has run out.

There are two looks at how full the pool is. Where nobody waits, an arrival is held against what was scraped, as in all
admission: a burst between two scrapes starts running on idle servers, and a queue nobody has seen is no reason to hold
anybody. While somebody waits, what was sent since the scrape counts too: see `signalbox.director.believed`.
"""

from __future__ import annotations

import random

import msgspec

from signalbox.admission.flow import Flow, FlowQueues, Turn
from signalbox.director.arrival import Arrival
from signalbox.director.believed import BelievedColumns
from signalbox.director.doubts import Doubts
from signalbox.director.events import Ticket
from signalbox.director.rules import Rules
from signalbox.director.tickets import prompt_length
from signalbox.director.wait import (
    CANCELLED,
    CLOSED,
    DISPATCHED,
    EXPIRED,
    NO_ENDPOINTS,
    REJECTED,
    STARVED,
    QueueObserver,
    Wait,
)
from signalbox.director.waiting import Waiting
from signalbox.payloads import Request
from signalbox.pool import Pool
from signalbox.scheduling import Cycle

LONGEST = 256
"""Characters of a fairness id that count: clients choose them, and whoever waits keeps one."""


class Line:
    """Holds those who wait through every change of the rules; nobody is refused by one."""

    def __init__(self, pool: Pool, rng: random.Random, observer: object) -> None:
        """``observer`` is told of waits where it is a `QueueObserver`."""
        self._pool = pool
        self._rng = rng
        self._observer = observer if isinstance(observer, QueueObserver) else None
        self._queues: FlowQueues | None = None
        self._called: dict[Waiting, str] = {}
        """Who is out of the queues and has not been told: with what came of the wait."""
        self._believed = BelievedColumns()
        self._doubts = Doubts(pool)
        self._closed = False
        self.blocked = False
        """Whether, at the last look, the pool was too full for the first of those who wait."""

    def __len__(self) -> int:
        return len(self._called) + (0 if self._queues is None else len(self._queues))

    def settle(self, rules: Rules, now: float) -> None:
        """Take up the rules as they are now. Where requests do not wait any more, all of them are to go."""
        queues, before = rules.flow, self._queues
        if queues is before:
            return
        self._queues = queues
        if before is None:
            return
        if queues is not None:
            queues.adopt(before, now)
        else:
            for turn in before.drain():
                self._called[turn.payload] = DISPATCHED

    def flow(self, rules: Rules, arrival: Arrival, priority: int) -> Flow:
        """Return who sends a request, by its header or by what the configuration finds in its headers."""
        fairness_id = arrival.fairness_id
        if not fairness_id and rules.policy is not None and rules.policy.identifies:
            fairness_id = rules.policy.fairness_id(arrival.headers)
        return Flow(fairness_id[:LONGEST], priority)

    def enter(
        self, rules: Rules, flow: Flow, arrival: Arrival, request: Request | None, now: float, wanted: bool
    ) -> tuple[Wait, Waiting | str | None]:
        """Return ``None`` for a request that may go straight on, else its place, or in words why it gets none. The
        first is what there is to tell of its wait."""
        if rules.flow is not self._queues:
            self.settle(rules, now)
        queues = self._queues
        assert queues is not None
        ahead = len(self)
        saturation = self.saturation(rules, now, believed=bool(ahead))
        wait = Wait(flow, now, 0 if arrival.body is None else len(arrival.body), saturation, ahead)
        tokens = 0 if request is None else prompt_length(request)
        turn = Turn(flow, wait.size, now, arrival.slo_ttft, prompt_tokens=tokens)
        somebody = len(self._pool.rows) and not self._doubts.everybody(now)
        if somebody and queues.admits(turn, now, saturation):
            self._dispatched(wait)
            return wait, None
        if somebody:
            wait.ceiling = queues.ceiling
        waiting = Waiting(arrival, request, wait, wanted, turn)
        msgspec.structs.force_setattr(turn, "payload", waiting)
        full = "" if self._closed else queues.offer(turn, now)
        if full is None:
            wait.queued = True
            if self._observer is not None:
                self._observer.queued(wait)
            return wait, waiting
        wait.outcome = CLOSED if self._closed else REJECTED if len(self._pool.rows) else NO_ENDPOINTS
        if self._observer is not None:
            self._observer.dropped(wait)
        return wait, full

    def saturation(self, rules: Rules, now: float, *, believed: bool) -> float:
        """Return how full the whole pool is, as scraped or as ``believed``; 1 for an empty one."""
        policy, pool = rules.policy, self._pool
        if policy is None or not len(pool.rows):
            return 1.0
        columns = self._believed.of(pool.columns) if believed else pool.columns
        return policy.saturation(Cycle("", 0, columns, self._rng, endpoints=pool.by_row, now=now), pool.rows)

    def call(self, rules: Rules, now: float) -> Waiting | None:
        """Take out the next one that is to be told something: ``wait.outcome`` says what."""
        queues = self._queues
        if queues is not None:
            empty = not len(self._pool.rows)
            for turn in queues.expired(now, empty_pool=empty):
                self._called[turn.payload] = STARVED if empty else EXPIRED
        waiting = self._take(rules, now)
        if waiting is not None:
            waiting.wait.seconds = now - waiting.wait.began
            if waiting.wait.outcome != DISPATCHED:
                self._dropped(waiting.wait)
            else:
                self._dispatched(waiting.wait)
        return waiting

    def _take(self, rules: Rules, now: float) -> Waiting | None:
        self.blocked = False
        for waiting in self._called:
            waiting.wait.outcome = self._called.pop(waiting)
            return waiting
        queues = self._queues
        if queues is None or not len(queues) or not len(self._pool.rows) or self._doubts.everybody(now):
            return None
        turn = queues.next(now, self.saturation(rules, now, believed=True))
        self.blocked = queues.held_up
        if turn is None:
            return None
        called: Waiting = turn.payload
        called.wait.outcome = DISPATCHED
        return called

    def withdraw(self, waiting: Waiting, now: float) -> bool:
        """The client is gone; return whether it waited."""
        queues, turn = self._queues, waiting.turn
        if self._called.pop(waiting, None) is None and (
            queues is None or turn is None or not queues.withdraw(turn, now)
        ):
            return False
        waiting.wait.seconds, waiting.wait.outcome = now - waiting.wait.began, CANCELLED
        self._dropped(waiting.wait)
        return True

    def close(self) -> None:
        """Nobody gets a place any more, and whoever has one is to be told."""
        self._closed = True
        if self._queues is not None:
            for turn in self._queues.drain():
                self._called[turn.payload] = CLOSED

    def due(self, now: float) -> float | None:
        """Return when somebody is to be called at the latest, though nothing happens."""
        if self._called:
            return now
        if self._queues is None:
            return None
        expiry, trial = self._queues.deadline(), self._doubts.due(now) if len(self._queues) else None
        return trial if expiry is None else expiry if trial is None else min(expiry, trial)

    def ended(self, ticket: Ticket, status: int | None, now: float) -> None:
        """A request that was sent has ended: whether its server answered counts for those who wait."""
        self._doubts.ended(ticket.endpoint.address, status, now)

    def _dispatched(self, wait: Wait) -> None:
        wait.outcome = DISPATCHED
        if self._observer is not None:
            self._observer.dispatched(wait)

    def _dropped(self, wait: Wait) -> None:
        if self._observer is not None:
            self._observer.dropped(wait)
