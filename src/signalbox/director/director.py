"""The life of one request: resolve its model, admit it, choose an endpoint, account for it, and settle the account at
its end.

The director holds no clock and no socket. Times come in as ``now``; the only other input is a ``stopwatch`` with which
it measures its own decisions for the observer.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from signalbox.director.arrival import Arrival, Refused, Routed, refuse
from signalbox.director.events import Completion, Observer, SilentObserver, Ticket
from signalbox.director.prefixes import Lookup
from signalbox.director.rules import Rules
from signalbox.payloads import PayloadError, Request, Usage, read_request
from signalbox.pool import Endpoint, Pool, Resolution, Rows
from signalbox.scheduling import Cycle, Decision, Profile
from signalbox.scheduling.filters import Reachable
from signalbox.scheduling.pickers import MaxScorePicker
from signalbox.scheduling.prefix import Insertion

CHARS_PER_TOKEN = 4
"""Characters of prompt text to a token, for estimates: English text averages about four."""

DEFAULT_ANSWER_TOKENS = 128
"""Answer length assumed where the request sets no limit."""

_ANY = Profile(filters=(Reachable(),), scorers=(), picker=MaxScorePicker())
"""For requests that any endpoint can answer."""

_LISTED_NAMES = 50
_MEDIA = (b'"image_url"', b'"input_audio"', b'"video_url"', b'"input_image"', b'"image"')


class Director:
    """Decides for one pool. Safe to call from one thread only."""

    def __init__(
        self,
        pool: Pool,
        rules: Rules,
        *,
        rng: random.Random | None = None,
        observer: Observer | None = None,
        stopwatch: Callable[[], float] = lambda: 0.0,
        fallbacks: int | None = None,
    ) -> None:
        """``fallbacks`` bounds how many endpoints are named after the choice; ``None`` leaves that to the rules."""
        self.pool = pool
        self._named = None if fallbacks is None else 1 + fallbacks
        self.rules = rules
        """What is decided by. Assign to it to replace them between two requests."""
        self._rng = rng or random.Random()
        self._observer = observer or SilentObserver()
        self._stopwatch = stopwatch
        self._known: tuple[Endpoint, ...] = ()

    @property
    def wants_headers(self) -> bool:
        """Whether arrivals should carry all their headers."""
        return self.rules.configured

    def arrive(self, arrival: Arrival, now: float) -> Routed | Refused:
        """Decide where the request goes. Every :class:`Routed` with a ticket must be ended by :meth:`finish`."""
        started = self._stopwatch()
        if arrival.body is None:
            return self._route_without_body(arrival, now)
        pool, rules = self.pool, self.rules
        if pool.endpoints is not self._known:
            self._endpoints_changed()
        try:
            request = read_request(arrival.path, arrival.body)
        except PayloadError as error:
            if not rules.passthrough:
                return self._refused(_bad_request(error), "", now)
            request = Request("other", "", False, None, len(arrival.body), arrival.body, {})
        if request.model or not rules.passthrough:
            resolution = pool.catalogue.resolve(request.model, rewrite=arrival.rewrite, objective=arrival.objective)
        else:
            resolution = Resolution("", pool.catalogue.priority_of(arrival.objective))
        if resolution is None:
            return self._refused(self._unknown_model(request.model), request.model, now)
        rows = pool.rows if arrival.subset is None else pool.subset(arrival.subset)
        if not len(rows):
            return self._refused(self._nobody(arrival), request.model, now, resolution.target)
        cycle = Cycle(resolution.target, resolution.priority, pool.columns, self._rng)
        lookup = self._furnish(cycle, arrival, request, now) if rules.configured else None
        shed = rules.gate.admit(cycle, rows)
        decision = None if shed is not None else rules.scheduler.schedule(cycle, rows)
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
        ticket = self._ticket(arrival, request, resolution, decision, lookup, now)
        if body is not None:
            ticket.request_bytes = len(body)
        self._observer.routed(ticket, self._stopwatch() - started)
        destination = ",".join([ticket.endpoint.address, *[endpoint.address for endpoint in ticket.fallbacks]])
        return Routed(destination, body, ticket, decision.headers, decision.response_headers)

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
        for charge in ticket.stage_charges:
            self.pool.release(charge)
        if ticket.insertions and ticket.tracker is not None:
            # A prompt that was refused or never answered was not computed; one whose answer broke off was.
            unanswered = outcome != "complete" and ticket.first_byte_at is None
            if unanswered or (status is not None and status >= 400):
                for insertion in ticket.insertions:
                    ticket.tracker.give_back(insertion)
            ticket.insertions = ()
        self._observer.finished(ticket, Completion(outcome, status, response_bytes, usage), now)

    # -- parts of a decision ------------------------------------------------------------------------------------

    def _furnish(self, cycle: Cycle, arrival: Arrival, request: Request, now: float) -> Lookup | None:
        """Give configured plugins what they may look at."""
        cycle.endpoints = self.pool.by_row
        cycle.headers = arrival.headers
        cycle.now = now
        cycle.multimodal = any(mark in request.body for mark in _MEDIA)
        prefix = self.rules.prefix
        if prefix is None:
            cycle.prompt_tokens = request.prompt_chars // CHARS_PER_TOKEN
            return None
        lookup = prefix.look_up(request, cycle.target)
        cycle.prefix = lookup.match
        cycle.prompt_tokens = lookup.blocks.tokens
        return lookup

    def _ticket(
        self,
        arrival: Arrival,
        request: Request,
        resolution: Resolution,
        decision: Decision,
        lookup: Lookup | None,
        now: float,
    ) -> Ticket:
        """Put the request on its endpoints' accounts."""
        pool, prefix = self.pool, self.rules.prefix
        endpoints = [pool.endpoint(row) for row in decision.rows[: self._named]]
        prompt_tokens = request.prompt_chars // CHARS_PER_TOKEN
        answer_tokens = DEFAULT_ANSWER_TOKENS if request.max_tokens is None else request.max_tokens
        cached = 0.0
        stages = [pool.endpoint(rows[0]) for rows in decision.stages.values() if rows]
        insertions: list[Insertion] = []
        if lookup is not None and prefix is not None:
            prompt_tokens = lookup.blocks.tokens
            cached = float(lookup.match.blocks[endpoints[0].row]) * lookup.match.block_size
            remembered = [prefix.remember(lookup, endpoint) for endpoint in (endpoints[0], *stages)]
            insertions = [insertion for insertion in remembered if insertion is not None]
        ticket = Ticket(
            request_id=arrival.request_id,
            model=request.model,
            target=resolution.target,
            priority=resolution.priority,
            endpoint=endpoints[0],
            fallbacks=tuple(endpoints[1:]),
            received_at=now,
            request_bytes=len(request.body),
            stream=request.stream,
            prompt_tokens_estimate=prompt_tokens,
            rewrite=resolution.rewrite,
            slo_ttft=arrival.slo_ttft,
            slo_tpot=arrival.slo_tpot,
            steps=decision.steps,
            tracker=prefix,
            insertions=tuple(insertions),
            charge=pool.acquire(endpoints[0], max(prompt_tokens - cached, 0.0) + answer_tokens),
        )
        ticket.stage_charges = tuple([pool.acquire(endpoint, prompt_tokens) for endpoint in stages])
        return ticket

    def _endpoints_changed(self) -> None:
        """Tell whoever keeps something about endpoints which of them have left."""
        now_ready = self.pool.by_row
        for endpoint in self._known:
            if now_ready.get(endpoint.row) != endpoint:
                self.rules.left(endpoint)
                if self.rules.prefix is not None:
                    self.rules.prefix.forget(endpoint)
        self._known = self.pool.endpoints

    @property
    def _pool_name(self) -> str:
        return f"InferencePool {self.pool.namespace}/{self.pool.name}"

    def _route_without_body(self, arrival: Arrival, now: float) -> Routed | Refused:
        """Any ready endpoint will do: the one with the fewest requests in flight. Nothing is charged."""
        pool = self.pool
        rows: Rows = pool.rows if arrival.subset is None else pool.subset(arrival.subset)
        if not len(rows):
            return self._refused(self._nobody(arrival), "", now)
        cycle = Cycle("", 1, pool.columns, self._rng)
        chosen = _ANY.schedule(cycle, rows)
        assert chosen is not None  # its filter never empties a list
        return Routed(",".join([pool.endpoint(row).address for row in chosen.rows[: self._named]]), None, None)

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


def _bad_request(error: PayloadError) -> Refused:
    return refuse(
        error.status,
        "BadRequest",
        error.message,
        type="invalid_request_error",
        error_code="invalid_request",
        param=error.param,
    )
