"""The counters of one model and target."""

from __future__ import annotations

from collections import Counter

from signalbox.director.events import Completion, Ticket
from signalbox.observability import buckets
from signalbox.observability.histogram import Histogram


class Series:
    """What happened to the requests of one (model, target) pair. Times are seconds of the caller's clock."""

    __slots__ = (
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

    def routed(self, ticket: Ticket) -> None:
        """Count a request that was given an endpoint."""
        self.requests[ticket.priority] += 1
        self.request_bytes.observe(ticket.request_bytes)
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
        usage = completion.usage
        if usage is not None:
            self.input_tokens.observe(usage.prompt_tokens)
            self.output_tokens.observe(usage.completion_tokens)
            if usage.cached_tokens is not None:
                self.cached_tokens.observe(usage.cached_tokens)
        if completion.outcome != "complete":
            return
        self.response_bytes.observe(completion.response_bytes)
        received, first = ticket.received_at, ticket.first_byte_at
        duration = now - received
        if duration <= 0:
            return
        self.durations.observe(duration)
        tokens = usage.completion_tokens if usage is not None else 0
        if tokens > 0:
            self.normalized.observe(duration / tokens)
        if ticket.stream and first is not None and received < first <= now:
            self.ttft.observe(first - received)
            self._hold_against("ttft", first - received, ticket.slo_ttft)
            if tokens > 1:
                per_token = (now - first) / (tokens - 1)
                self.tpot.observe(per_token)
                self._hold_against("tpot", per_token, ticket.slo_tpot)

    def _hold_against(self, kind: str, seconds: float, objective: float | None) -> None:
        self.latest[kind] = seconds
        if objective is not None:
            missed = seconds > objective
            self.latest[f"{kind}_slo_violation"] = float(missed)
            self.violations[kind] += missed
