"""The part of a director that deals with those who wait: it decides about nobody itself."""

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod

from signalbox.director.arrival import Arrival, Refused, Routed
from signalbox.director.events import Ticket
from signalbox.director.line import Line
from signalbox.director.recalls import Recalls
from signalbox.director.refusals import cannot_wait, client_left, own_fault, shutting_down, waited_too_long
from signalbox.director.rules import Rules
from signalbox.director.wait import CLOSED, DISPATCHED, Wait
from signalbox.director.waiting import Waiting
from signalbox.native import mypyc_attr
from signalbox.pool import Pool

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Requests that one call of :meth:`Director.dispatch` decides about: about two milliseconds."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Turns(ABC):
    """Calls those whose turn has come; `Director` decides where they go."""

    pool: Pool
    rules: Rules
    _line: Line
    _recalls: Recalls
    _more: bool

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._line)

    def dispatch(self, now: float) -> list[tuple[Waiting, Routed | Refused]]:
        """Decide about those whose turn has come or whose time has run out. To be called after every event that may
        make room, and when :meth:`next_look` says so; decides about `AT_ONCE` of them at most."""
        line = self._line
        self._more = False
        line.settle(self.rules, now)
        outcomes: list[tuple[Waiting, Routed | Refused]] = []
        while len(outcomes) < AT_ONCE:
            try:
                waiting = line.call(self.rules, now)
            except Exception:
                if not outcomes:
                    raise
                break  # whoever has been decided about is told first; the next call meets it again
            if waiting is None:
                return outcomes
            outcomes.append((waiting, self._outcome(waiting, now)))
        self._more = True
        return outcomes

    def next_look(self, now: float) -> float | None:
        """Return when :meth:`dispatch` has to be called though nothing happens: ``now`` where it left somebody it might
        have decided about; ``None`` where nobody's time runs out."""
        if self._more and len(self._line):
            return now
        due, recall = self._line.due(now), self._recalls.due(self.rules, self._line, now)
        return due if recall is None else recall if due is None else min(due, recall)

    def recall(self, now: float) -> list[tuple[Ticket, Refused]]:
        """Return the requests to take back from their servers, each with the answer to give: sheddable ones, while who
        matters more waits. To be called after :meth:`dispatch`; ``ticket.serving.owner`` is the one that takes it
        back, and ends it by :meth:`finish` like any other."""
        return [] if self._more or not len(self._line) else self._recalls.choose(self.rules, self._line, now)

    def saturation(self, now: float, *, believed: bool) -> float:
        """Return how full the pool is, 1 at the limit: as scraped, or as ``believed`` between two scrapes."""
        return self._line.saturation(self.rules, now, believed=believed)

    def withdraw(self, waiting: Waiting, now: float) -> None:
        """The client of a request that waits is gone. Harmless once it has been decided about."""
        if self._line.withdraw(waiting, now):
            model = "" if waiting.request is None else waiting.request.model
            refusal = client_left(self.pool, waiting.wait.seconds)
            self._refused(waiting.arrival, refusal, model, now, waiting.wanted, wait=waiting.wait)

    def close(self, now: float) -> None:
        """Let nobody wait any more: :meth:`dispatch` refuses those who do, and whoever would have to is refused."""
        self._line.settle(self.rules, now)
        self._line.close()

    def _outcome(self, waiting: Waiting, now: float) -> Routed | Refused:
        """Say what becomes of a request that has waited; what fails for one of them is not to fail for the others."""
        try:
            return self._called(waiting, now)
        except Exception:
            log.exception("no decision about a request that waited", extra={"request_id": waiting.arrival.request_id})
        refusal = own_fault(self.pool)
        model = "" if waiting.request is None else waiting.request.model
        with contextlib.suppress(Exception):  # what counts refusals may be what has failed
            self._refused(waiting.arrival, refusal, model, now, waiting.wanted, wait=waiting.wait)
        return refusal

    def _called(self, waiting: Waiting, now: float) -> Routed | Refused:
        """Say what becomes of a request that has waited."""
        wait, request, pool = waiting.wait, waiting.request, self.pool
        if wait.outcome == DISPATCHED:
            return self._turn_came(waiting, now)
        refusal = shutting_down(pool) if wait.outcome == CLOSED else waited_too_long(pool, wait.seconds)
        model = "" if request is None else request.model
        return self._refused(waiting.arrival, refusal, model, now, waiting.wanted, wait=wait)

    def _no_place(self, why: str) -> Refused:
        return cannot_wait(self.pool, why) if why else shutting_down(self.pool)

    # -- what a director does about it --------------------------------------------------------------------------

    @abstractmethod
    def _turn_came(self, waiting: Waiting, now: float) -> Routed | Refused:
        """Decide where a request goes that has waited, for the pool as it is now."""

    @abstractmethod
    def _refused(
        self, arrival: Arrival, refusal: Refused, model: str, now: float, wanted: bool, *, wait: Wait | None = None
    ) -> Refused:
        """Note that a request goes nowhere; return ``refusal``."""
