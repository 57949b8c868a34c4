"""The life of one request: resolve its model, admit it, choose an endpoint, account for it, and settle the account at
its end.

The director holds no clock and no socket. Times come in as ``now``; the only other input is a ``stopwatch`` with
which it measures its own decisions for the observer.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from signalbox.admission import SheddableGate
from signalbox.director.arrival import Arrival, Refused, Routed, refuse
from signalbox.director.events import Completion, Observer, SilentObserver, Ticket
from signalbox.payloads import PayloadError, Usage, read_request
from signalbox.pool import Pool, Rows
from signalbox.scheduling import Cycle, Profile

CHARS_PER_TOKEN = 4
"""Characters of prompt text to a token, for estimates: English text averages about four."""

DEFAULT_ANSWER_TOKENS = 128
"""Answer length assumed where the request sets no limit."""

_LISTED_NAMES = 50


class Director:
    """Decides for one pool. Safe to call from one thread only."""

    def __init__(
        self,
        pool: Pool,
        profile: Profile,
        gate: SheddableGate,
        *,
        rng: random.Random | None = None,
        observer: Observer | None = None,
        stopwatch: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.pool = pool
        self._profile = profile
        self._gate = gate
        self._rng = rng or random.Random()
        self._observer = observer or SilentObserver()
        self._stopwatch = stopwatch

    def arrive(self, arrival: Arrival, now: float) -> Routed | Refused:
        """Decide where the request goes. Every :class:`Routed` with a ticket must be ended by :meth:`finish`."""
        started = self._stopwatch()
        if arrival.body is None:
            return self._route_without_body(arrival, now)
        try:
            request = read_request(arrival.path, arrival.body)
        except PayloadError as error:
            return self._refused(
                refuse(
                    error.status,
                    "BadRequest",
                    error.message,
                    type="invalid_request_error",
                    error_code="invalid_request",
                    param=error.param,
                ),
                "",
                now,
            )
        pool = self.pool
        resolution = pool.catalogue.resolve(request.model, rewrite=arrival.rewrite, objective=arrival.objective)
        if resolution is None:
            return self._refused(self._unknown_model(request.model), request.model, now)
        cycle = Cycle(resolution.target, resolution.priority, pool.columns, self._rng)
        rows = pool.rows if arrival.subset is None else pool.subset(arrival.subset)
        if not len(rows):
            return self._refused(self._nobody(arrival), request.model, now, resolution.target)
        shed = self._gate.admit(cycle, rows)
        decision = None if shed is not None else self._profile.schedule(cycle, rows)
        if decision is None:
            reason = (
                shed.reason if shed is not None else f"no endpoint of {self._pool_name} passes the scheduling filters"
            )
            refusal = refuse(
                429,
                "InferencePoolResourceExhausted",
                reason,
                type="rate_limit_error",
                error_code="overloaded",
                retry_after=shed.retry_after if shed is not None else 1,
            )
            return self._refused(refusal, request.model, now, resolution.target)
        body = None if resolution.target == request.model else request.with_model(resolution.target)
        endpoints = tuple(pool.endpoint(row) for row in decision.rows)
        prompt_tokens = request.prompt_chars // CHARS_PER_TOKEN
        answer_tokens = DEFAULT_ANSWER_TOKENS if request.max_tokens is None else request.max_tokens
        ticket = Ticket(
            request_id=arrival.request_id,
            model=request.model,
            target=resolution.target,
            priority=resolution.priority,
            endpoint=endpoints[0],
            fallbacks=endpoints[1:],
            received_at=now,
            routed_at=now,
            request_bytes=len(arrival.body if body is None else body),
            stream=request.stream,
            prompt_tokens_estimate=prompt_tokens,
            charge=pool.acquire(endpoints[0], prompt_tokens + answer_tokens),
            rewrite=resolution.rewrite,
            slo_ttft=arrival.slo_ttft,
            slo_tpot=arrival.slo_tpot,
            steps=decision.steps,
        )
        self._observer.routed(ticket, self._stopwatch() - started)
        return Routed(",".join([endpoint.address for endpoint in endpoints]), body, ticket)

    def served(self, ticket: Ticket, address: str) -> None:
        """The proxy reports which endpoint took the request: move the account there if it was a fallback."""
        if ticket.charge is None or ticket.endpoint.address == address:
            return
        for endpoint in ticket.fallbacks:
            if endpoint.address == address:
                self.pool.move(ticket.charge, endpoint)
                ticket.endpoint = endpoint
                return

    def first_byte(self, ticket: Ticket, now: float) -> None:
        """The first byte of the answer's body passed."""
        if ticket.first_byte_at is None:
            ticket.first_byte_at = now

    def finish(
        self,
        ticket: Ticket,
        now: float,
        *,
        outcome: str,
        status: int | None,
        response_bytes: int = 0,
        usage: Usage | None = None,
    ) -> None:
        """The request ended, however it ended: settle its account. Only the first call for a ticket counts."""
        if ticket.charge is None:
            return
        self.pool.release(ticket.charge)
        ticket.charge = None
        self._observer.finished(ticket, Completion(outcome, status, response_bytes, usage), now)

    @property
    def _pool_name(self) -> str:
        return f"InferencePool {self.pool.namespace}/{self.pool.name}"

    def _route_without_body(self, arrival: Arrival, now: float) -> Routed | Refused:
        """Any ready endpoint will do; the same profile chooses, and nothing is charged."""
        pool = self.pool
        rows: Rows = pool.rows if arrival.subset is None else pool.subset(arrival.subset)
        decision = self._profile.schedule(Cycle("", 1, pool.columns, self._rng), rows) if len(rows) else None
        if decision is None:
            return self._refused(self._nobody(arrival), "", now)
        return Routed(",".join([pool.endpoint(row).address for row in decision.rows]), None, None)

    def _refused(self, refusal: Refused, model: str, now: float, target: str = "") -> Refused:
        self._observer.refused(model, target, refusal.code, now)
        return refusal

    def _nobody(self, arrival: Arrival) -> Refused:
        if self.pool.spec is None:
            reason = (
                f"{self._pool_name} is not known to its endpoint picker; create it or correct the picker's pool name"
            )
        elif arrival.subset is not None and self.pool.endpoints:
            reason = f"none of the endpoints the proxy allows is a ready endpoint of {self._pool_name}"
        else:
            reason = f"{self._pool_name} has no ready endpoint; see that its pods run, match its selector and are Ready"
        return refuse(503, "ServiceUnavailable", reason, type="server_error", error_code="no_ready_endpoint")

    def _unknown_model(self, model: str) -> Refused:
        names = self.pool.catalogue.names
        known = ", ".join(names[:_LISTED_NAMES]) + (
            f" and {len(names) - _LISTED_NAMES} more" if len(names) > _LISTED_NAMES else ""
        )
        message = f"The model `{model}` does not exist. Known models: {known}"
        return refuse(
            404, "BadConfiguration", message, type="invalid_request_error", error_code="model_not_found", param="model"
        )
