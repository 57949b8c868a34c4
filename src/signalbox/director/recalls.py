"""Sheddable requests of one director that servers work on, and which of them to take back."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from signalbox.admission.flow import Evictions, FlowQueues
from signalbox.director.arrival import Refused
from signalbox.director.events import Ticket
from signalbox.director.line import Line
from signalbox.director.refusals import taken_back
from signalbox.director.rules import Rules
from signalbox.pool import Pool
from signalbox.scheduling.saturation import ConcurrencyDetector, UtilizationDetector

COUNTED = 0.01
"""Seconds until an end shows where requests are counted here."""
SCRAPED = 0.25
"""Seconds until it shows where servers are asked, beyond the scrape interval and the age their word is trusted to."""
STALE = 0.2
"""That age, in seconds, where the detector has none of its own."""


@runtime_checkable
class RecallObserver(Protocol):
    """An `Observer` that also counts requests that are taken back. The method must not raise and must not block."""

    def taken_back(self, ticket: Ticket) -> None:
        """A request is about to be taken back from its server; its end is told as any other's."""


class Recalls:
    """Takes back as many as those who wait need room, and only where nothing else makes it."""

    def __init__(self, pool: Pool, observer: object) -> None:
        """``observer`` is told where it is a `RecallObserver`."""
        self._pool = pool
        self._observer = observer if isinstance(observer, RecallObserver) else None
        self._evictions = Evictions()

    def sent(self, rules: Rules, ticket: Ticket) -> None:
        """A request was sent to its server."""
        if rules.flow is not None and rules.flow.settings.evicts:
            ticket.serving = self._evictions.sent(ticket.priority, ticket)

    def ended(self, rules: Rules, ticket: Ticket, now: float) -> bool:
        """A request that could be taken back has ended; return whether it was taken back."""
        serving, ticket.serving = ticket.serving, None
        return serving is not None and self._evictions.ended(serving, now, self._grace(rules))

    def choose(self, rules: Rules, line: Line, now: float) -> list[tuple[Ticket, Refused]]:
        """Return whom to take back, and with what words; nobody unless the first of those who wait may not go."""
        queues = self._needed(rules, line)
        foremost = None if queues is None else queues.foremost()
        if foremost is None:
            return []
        priority, waiting = foremost
        chosen = self._evictions.choose(priority, waiting, now, self._grace(rules))
        if self._observer is not None:
            for serving in chosen:
                self._observer.taken_back(serving.payload)
        return [(serving.payload, taken_back(self._pool, serving.priority, priority)) for serving in chosen]

    def due(self, rules: Rules, line: Line, now: float) -> float | None:
        """Return when somebody may have to be taken back though nothing happens."""
        return None if self._needed(rules, line) is None else self._evictions.look_again(now)

    def _needed(self, rules: Rules, line: Line) -> FlowQueues | None:
        queues = rules.flow
        return queues if queues is not None and queues.settings.evicts and line.blocked else None

    def _grace(self, rules: Rules) -> float:
        detector = None if rules.policy is None else rules.policy.detector
        if isinstance(detector, ConcurrencyDetector):
            return COUNTED
        stale = detector.parameters.metrics_staleness_threshold if isinstance(detector, UtilizationDetector) else STALE
        return self._pool.columns.scrape_interval + stale + SCRAPED
