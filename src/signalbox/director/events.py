"""What the director tells whoever watches: metrics, the decision log, tests."""

from __future__ import annotations

from typing import Protocol

import msgspec

from signalbox.director.prefixes import PrefixTracker
from signalbox.payloads import Usage
from signalbox.pool import Charge, Endpoint
from signalbox.scheduling import Step
from signalbox.scheduling.prefix import Insertion


class Ticket(msgspec.Struct):
    """One request between its routing and its end. Times are seconds of the caller's clock."""

    request_id: str
    model: str
    """The name the client asked for."""
    target: str
    """The name sent to the server, after rewriting."""
    priority: int
    endpoint: Endpoint
    """The first choice."""
    fallbacks: tuple[Endpoint, ...]
    received_at: float
    request_bytes: int
    stream: bool
    prompt_tokens_estimate: int
    first_byte_at: float | None = None
    rewrite: str = ""
    """Name of the InferenceModelRewrite that chose the target, if one did."""
    slo_ttft: float | None = None
    """Seconds to the first token that the client asked for (``x-slo-ttft-ms``)."""
    slo_tpot: float | None = None
    """Seconds per output token that the client asked for (``x-slo-tpot-ms``)."""
    steps: tuple[Step, ...] = ()
    """What the scheduling profile did, for whoever asks why."""
    tracker: PrefixTracker | None = None
    """Who remembers this request's prompt: the index of the rules it was routed by."""
    insertions: tuple[Insertion, ...] = ()
    """What that index learned from it: one for each endpoint that computes its prompt."""
    stage_charges: tuple[Charge, ...] = ()
    """The same request on the accounts of its prefill and encode endpoints."""
    charge: Charge | None = None
    """This request on its endpoint's in-flight account, until it ends."""


class Completion(msgspec.Struct, frozen=True):
    """How a routed request ended."""

    outcome: str
    """``complete``, ``cancelled`` (client or proxy went away) or ``server_error`` (status >= 500 or reset)."""
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
