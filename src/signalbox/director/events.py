"""What the director tells whoever watches: metrics, the decision log, tests."""

from __future__ import annotations

from typing import Protocol

import msgspec

from signalbox.admission.flow import Serving
from signalbox.director.prefixes import Lookup, PrefixTracker
from signalbox.director.wait import Wait
from signalbox.payloads import Usage
from signalbox.pool import Charge, Endpoint
from signalbox.scheduling import Cycle, Decision, Policy
from signalbox.scheduling.latency import Predicted
from signalbox.scheduling.prefix import Insertion


class Course(msgspec.Struct, frozen=True):
    """How a request was routed, for plugins that mind who served it in the end."""

    policy: Policy
    cycle: Cycle
    decision: Decision


class Ticket(msgspec.Struct):
    """One request between its routing and its end. Times are seconds of the caller's clock."""

    request_id: str
    model: str
    """The name the client asked for."""
    target: str
    """The name sent to the server, after rewriting."""
    priority: int
    endpoint: Endpoint
    """Who serves it: the first choice, or the fallback that was reported."""
    fallbacks: tuple[Endpoint, ...]
    received_at: float
    request_bytes: int
    stream: bool
    prompt_tokens_estimate: int
    api: str = ""
    """Which API the client used: ``chat``, ``completions`` and so on."""
    objective: str | None = None
    """The InferenceObjective the client named."""
    slo_ttft: float | None = None
    """Seconds to the first token that the client asked for (``x-slo-ttft-ms``)."""
    slo_tpot: float | None = None
    """Seconds per output token that the client asked for (``x-slo-tpot-ms``)."""
    rewrite: str = ""
    """Name of the InferenceModelRewrite that chose the target, if one did."""
    first_byte_at: float | None = None
    tracker: PrefixTracker | None = None
    """Who remembers this request's prompt: the index of the rules it was routed by."""
    insertions: tuple[Insertion, ...] = ()
    """What that index learned from it: one for each endpoint that computes its prompt, the one that answers first."""
    lookup: Lookup | None = None
    """Its prompt and who held the beginning, until the answer begins: another endpoint may serve it."""
    course: Course | None = None
    """Where a plugin wants to follow it to that endpoint, until then."""
    stage_charges: tuple[Charge, ...] = ()
    """The same request on the accounts of its prefill and encode endpoints."""
    cached_tokens: float = 0.0
    """How much of the prompt its endpoint was believed to hold."""
    policy: Policy | None = None
    """Who chose, where it wants to hear of first tokens and ends."""
    ahead: float = 0.0
    """For it: prompt tokens the first choice had to compute before this request's."""
    decoding: float = 0.0
    """For it: requests of ours that were past their first token there."""
    moved: bool = False
    """Whether a fallback served it."""
    predicted: Predicted | None = None
    """How fast its first choice was expected to answer, where a plugin asked for that."""
    wait: Wait | None = None
    """How it waited for its turn, where requests may have to."""
    serving: Serving | None = None
    """For a sheddable request that may be taken back from its server, until it ends: by whom."""
    charge: Charge | None = None
    """This request on its endpoint's in-flight account, until it ends."""
    noted: bool = False
    """Whether the journal keeps its decision."""
    completion: Completion | None = None
    """For the journal: how it ended, once it has."""
    finished_at: float | None = None
    """For the journal: and when."""

    @property
    def routed_at(self) -> float:
        """When its wait was over, in seconds: what its server has to answer for begins here."""
        return self.received_at if self.wait is None else self.received_at + self.wait.seconds


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
