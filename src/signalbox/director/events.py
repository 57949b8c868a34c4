"""What the director tells whoever watches: metrics, the decision log, tests."""

from __future__ import annotations

from typing import Protocol

import msgspec

from signalbox.director.ticket import Ticket
from signalbox.payloads import Usage
from signalbox.scheduling import Cycle, Decision, Policy

__all__ = ["Completion", "Course", "Observer", "SilentObserver", "Ticket"]


class Course(msgspec.Struct, frozen=True):
    """How a request was routed, for plugins that mind who served it in the end."""

    policy: Policy
    cycle: Cycle
    decision: Decision


class Completion(msgspec.Struct, frozen=True):
    """How a routed request ended."""

    outcome: str
    """``complete``, ``cancelled`` (client or proxy went away), ``evicted`` (taken back for one that matters more) or
    ``server_error`` (status >= 500, or an error reported under a status below 300, as streams must)."""
    status: int | None
    response_bytes: int
    usage: Usage | None


class Observer(Protocol):
    """Receives every event of a request's life. Methods must not raise and must not block."""

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        """No endpoint for this request; ``code`` is one of the reference's error codes, such as ``BadRequest``."""

    def routed(self, ticket: Ticket, decision_seconds: float) -> None:
        """An endpoint was chosen; ``decision_seconds`` is the wall time the choice took."""

    def finished(self, ticket: Ticket, completion: Completion, now: float) -> None:
        """A routed request ended; called exactly once for each ticket."""


class SilentObserver:
    """Watches nothing."""

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        """Ignore it."""

    def routed(self, ticket: Ticket, decision_seconds: float) -> None:
        """Ignore it."""

    def finished(self, ticket: Ticket, completion: Completion, now: float) -> None:
        """Ignore it."""
