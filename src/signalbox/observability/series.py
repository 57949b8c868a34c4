"""The counters of one model and target."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from signalbox.director.events import Completion, Ticket
from signalbox.observability import buckets
from signalbox.observability.histogram import MOST_NOTED, Histogram
from signalbox.pool import Endpoint


class Attempt(NamedTuple):
    """Labels of one kind of scheduling attempt; a failed one has no endpoint."""

    status: str
    target: str
    pod: str = ""
    namespace: str = ""
    port: int | None = None


class Sent:
    """How often requests were sent to one endpoint."""

    __slots__ = ("count", "endpoint")

    def __init__(self, endpoint: Endpoint | None) -> None:
        self.endpoint = endpoint
        """``None`` counts requests that got none."""
        self.count = 0


class Series:
    """What happened to the requests of one (model, target) pair. Times are seconds of the caller's clock."""

    __slots__ = (
        "_unsettled",
        "cached_tokens",
        "durations",
        "input_tokens",
        "latest",
        "model",
        "normalized",
        "output_tokens",
        "predicted_tpot",
        "predicted_ttft",
        "request_bytes",
        "requests",
        "response_bytes",
        "sent",
        "target",
        "tpot",
        "ttft",
        "violations",
    )

    def __init__(self, model: str, target: str) -> None:
        self.model = model
        self.target = target
        self.requests: Counter[int] = Counter()
        """Routed requests by priority."""
        self.request_bytes = Histogram(buckets.REQUEST_BYTES)
        self.response_bytes = Histogram(buckets.RESPONSE_BYTES)
        self.durations = Histogram(buckets.SECONDS)
        self.ttft = Histogram(buckets.SECONDS)
        self.tpot = Histogram(buckets.TPOT_SECONDS)
        self.predicted_ttft = Histogram(buckets.SECONDS)
        self.predicted_tpot = Histogram(buckets.TPOT_SECONDS)
        self.normalized = Histogram(buckets.NORMALIZED_SECONDS)
        self.input_tokens = Histogram(buckets.INPUT_TOKENS)
        self.output_tokens = Histogram(buckets.OUTPUT_TOKENS)
        self.cached_tokens = Histogram(buckets.INPUT_TOKENS)
        self.latest: dict[str, float] = {}
        """The latest ``ttft`` and ``tpot`` in seconds, and whether they missed the client's objective (1 or 0)."""
        self.violations: Counter[str] = Counter()
        """Missed objectives, by ``ttft`` and ``tpot``."""
        self.sent: dict[int, Sent] = {}
        """Where requests for this target were counted that went to the endpoint of a row."""
        self._unsettled = 0

    def routed(self, ticket: Ticket) -> None:
        """Count a request that was given an endpoint."""
        self.requests[ticket.priority] += 1
        self.request_bytes.note(ticket.request_bytes)
        self._unsettled += 1
        if self._unsettled >= MOST_NOTED:
            self._settle()
        predicted = ticket.predicted
        if predicted is not None:
            self.predicted_ttft.observe(predicted.ttft)
            if predicted.tpot is not None:
                self.predicted_tpot.observe(predicted.tpot)

    def finished(self, ticket: Ticket, completion: Completion, now: float) -> None:
        """Count what the answer tells.

        Tokens count whenever the server reported them. Times and sizes count for complete answers only: of a broken
        one they would describe where it broke. Time to first token and per token need a streamed answer; the time
        per token is that between the first and the last byte, divided by the tokens after the first.
        """
        self._unsettled += 1
        usage = completion.usage
        tokens = 0
        if usage is not None:
            tokens = usage.completion_tokens
            self.input_tokens.note(usage.prompt_tokens)
            self.output_tokens.note(tokens)
            if usage.cached_tokens is not None:
                self.cached_tokens.note(usage.cached_tokens)
        if completion.outcome != "complete":
            return
        self.response_bytes.note(completion.response_bytes)
        received = ticket.received_at
        duration = now - received
        if duration <= 0:
            return
        self.durations.note(duration)
        if tokens > 0:
            self.normalized.note(duration / tokens)
        first = ticket.first_byte_at
        if ticket.stream and first is not None and received < first <= now:
            self.ttft.observe(first - received)
            self._hold_against("ttft", first - received, ticket.slo_ttft)
            if tokens > 1:
                per_token = (now - first) / (tokens - 1)
                self.tpot.observe(per_token)
                self._hold_against("tpot", per_token, ticket.slo_tpot)

    def _settle(self) -> None:
        """Count what was noted, before that is too much."""
        self._unsettled = 0
        for histogram in (
            self.request_bytes,
            self.response_bytes,
            self.durations,
            self.normalized,
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
        ):
            histogram.settle()

    def _hold_against(self, kind: str, seconds: float, objective: float | None) -> None:
        self.latest[kind] = seconds
        if objective is not None:
            missed = seconds > objective
            self.latest[f"{kind}_slo_violation"] = float(missed)
            self.violations[kind] += missed
