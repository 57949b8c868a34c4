"""Where requests wait for their turn: who asks the director when, and brings the outcomes to the exchanges.

The director is asked whenever something has happened that may have made room: a request ended, an answer began, a
scrape was recorded, the pool's endpoints or the configuration changed, somebody's time ran out. While nobody waits
nothing of this costs more than a question.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from signalbox.director import Director, Routed, Waiting
from signalbox.extproc import Deliver
from signalbox.pool import Pool, Readings
from signalbox.pool.charges import ScrapeMark
from signalbox.pool.endpoints import Endpoint

log = logging.getLogger("signalbox.epp")

SAFETY_NET = 1.0
"""Seconds after which the director is asked though nobody said that anything had happened."""


class TurnRoom:
    """The waiting room of one director. To be used on one event loop."""

    def __init__(
        self, director: Director, clock: Callable[[], float], looked: Callable[[float], None] = lambda _: None
    ) -> None:
        """``looked`` is told how many seconds each look took, the word to the exchanges included."""
        self._director = director
        self._looked = looked
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._soon: asyncio.Handle | None = None

    def enter(self, pending: Waiting, deliver: Deliver) -> None:
        """See `WaitingRoom.enter`."""
        pending.owner = deliver
        if self._timer is None:  # the first one: the director has not been asked for a while
            self.freed()

    def leave(self, pending: Waiting) -> None:
        """See `WaitingRoom.leave`."""
        pending.owner = None
        self._director.withdraw(pending, self._clock())

    def freed(self) -> None:
        """Something has happened that may have made room."""
        if self._soon is None and self._director.waiting:
            self._soon = asyncio.get_running_loop().call_soon(self._look)

    def close(self) -> None:
        """Refuse everybody who waits, and whoever would have to from now on."""
        waiting = self._director.waiting
        if waiting:
            log.warning("shutting down: requests that wait are refused", extra={"waiting": waiting})
        self._director.close(self._clock())
        while self._director.waiting:
            self._deliver()

    def _look(self) -> None:
        """One turn of the loop: a few outcomes, then everybody else has their turn."""
        self._soon = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        began = time.perf_counter()
        try:
            self._deliver()
        finally:
            self._looked(time.perf_counter() - began)
            self._look_again()

    def _look_again(self) -> None:
        director = self._director
        if not director.waiting:
            return
        loop, now = asyncio.get_running_loop(), self._clock()
        due = director.next_look(now)
        if due is not None and due <= now:
            self.freed()
            return
        pause = SAFETY_NET if due is None else min(due - now, SAFETY_NET)
        self._timer = loop.call_later(pause, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self.freed()

    def _deliver(self) -> None:
        for waiting, outcome in self._director.dispatch(self._clock()):
            deliver: Deliver | None = waiting.owner
            waiting.owner = None
            try:
                if deliver is not None:
                    deliver(outcome)
                    continue  # else its exchange ended while those before it in this very turn were told
            except Exception:  # the others are to be told all the same
                log.exception("an outcome could not be delivered", extra={"request_id": waiting.arrival.request_id})
            if isinstance(outcome, Routed) and outcome.ticket is not None:
                self._director.finish(outcome.ticket, self._clock(), outcome="cancelled", status=None)
        for ticket, refusal in self._director.recall(self._clock()):
            serving = ticket.serving
            if serving is not None and serving.owner is not None:
                log.info("taken back", extra={"request_id": ticket.request_id, "reason": refusal.message})
                serving.owner(refusal)


class ScrapedRoom:
    """A pool whose scrapes call those who wait; for a `MetricsPoller`."""

    def __init__(self, pool: Pool, room: TurnRoom) -> None:
        self._pool = pool
        self._room = room

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The endpoints to scrape."""
        return self._pool.endpoints

    @property
    def version(self) -> int:
        """Grows whenever ``endpoints`` change."""
        return self._pool.version

    def scraping_every(self, seconds: float) -> None:
        """See `Pool.scraping_every`."""
        self._pool.scraping_every(seconds)

    def begin_scrape(self, endpoint: Endpoint) -> ScrapeMark:
        """See `Pool.begin_scrape`."""
        return self._pool.begin_scrape(endpoint)

    def record(self, endpoint: Endpoint, readings: Readings, mark: ScrapeMark, now: float) -> None:
        """See `Pool.record`."""
        self._pool.record(endpoint, readings, mark, now)
        self._room.freed()

    def scrape_failed(self, endpoint: Endpoint, now: float) -> None:
        """See `Pool.scrape_failed`."""
        self._pool.scrape_failed(endpoint, now)
        self._room.freed()
