"""A server in a replay: its engine, and when its metrics are read."""

from __future__ import annotations

import math
from typing import Any

from signalbox.engine import Engine
from signalbox.lab.scrapes import BEGIN, READ, RECORD, ScrapeTimes
from signalbox.lab.servers import Server, read
from signalbox.pool import Endpoint, Readings, ScrapeMark
from signalbox.resources import Pod

FIRST_TOKEN, FINISHED, SCRAPE, RECORDED, FAILED = range(5)
"""What happens on a server, in the order it counts at one and the same moment."""

Event = tuple[float, int, int, Any]
"""When, what, which server, and what it is about: a `RequestState`, or the number of a scrape."""


class Member:
    """One server."""

    def __init__(self, number: int, server: Server, engine: Engine, pod: Pod) -> None:
        self.number = number
        self.server = server
        self.engine = engine
        self.pod = pod
        self.endpoint: Endpoint | None = None
        self.scrapes: ScrapeTimes | None = None
        self.in_flight = 0
        self.idle_since = -math.inf
        self.marks: dict[int, ScrapeMark] = {}
        self.readings: dict[int, Readings] = {}

    def advance(self, until: float, events: list[Event], *, every_scrape: bool) -> None:
        """Take the engine up to ``until`` and note what happens on the way, scrapes too."""
        if self.scrapes is not None:
            for moment in self.scrapes.moments(until, every=every_scrape):
                if moment.what == READ:
                    self.step(moment.time, events)
                    self.readings[moment.number] = read(self.engine, of_batch=self.scrapes.of_batch)
                elif moment.what == BEGIN:
                    events.append((moment.time, SCRAPE, self.number, moment.number))
                else:
                    what = RECORDED if moment.what == RECORD else FAILED
                    events.append((moment.time, what, self.number, moment.number))
        self.step(until, events)

    def step(self, until: float, events: list[Event]) -> None:
        """Take the engine up to ``until``."""
        result = self.engine.step(until)
        for state in result.first_tokens:
            events.append((state.first_token_at or 0.0, FIRST_TOKEN, self.number, state))
        for state in result.finished:
            events.append((state.finished_at or 0.0, FINISHED, self.number, state))

    def recorded(self, number: int) -> tuple[Readings, ScrapeMark]:
        """What a scrape that has ended found; forgets it and those before it."""
        found = self.readings[number], self.marks[number]
        self.marks = {later: mark for later, mark in self.marks.items() if later > number}
        self.readings = {later: reading for later, reading in self.readings.items() if later > number}
        return found

    def ended(self, now: float) -> None:
        """A request has ended here."""
        self.in_flight -= 1
        if not self.in_flight:
            self.idle_since = now

    def next_event(self) -> float:
        """When something happens here, at the earliest, that the picker might learn of."""
        outcome = self.engine.next_outcome
        scraped = math.inf if self.scrapes is None else self.scrapes.next_end
        return scraped if outcome is None else min(outcome, scraped)
