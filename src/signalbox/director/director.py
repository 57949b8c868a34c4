"""The life of one request: resolve its model, admit it, choose an endpoint, account for it, and settle the account at
its end.

The director holds no clock and no socket. Times come in as ``now``; the only other input is a ``stopwatch`` with which
it measures its own decisions for the observer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from signalbox.admission import Shed
from signalbox.director.arrival import Arrival, Refused, Routed
from signalbox.director.events import Completion, Course, Observer, SilentObserver, Ticket
from signalbox.director.following import follow
from signalbox.director.journal import Journal, Refusal
from signalbox.director.observations import finished, first_token
from signalbox.director.prefixes import Lookup
from signalbox.director.refusals import bad_request, exhausted, nobody, unknown_model
from signalbox.director.rules import Rules
from signalbox.director.tickets import open_ticket, prompt_length
from signalbox.payloads import PayloadError, Request, Usage, holds_media, read_request
from signalbox.pool import Endpoint, Pool, Resolution, Rows
from signalbox.pool.listings import able
from signalbox.scheduling import Cycle, Profile, Step
from signalbox.scheduling.filters import Reachable
from signalbox.scheduling.pickers import MaxScorePicker

_ANY = Profile(filters=(Reachable(),), scorers=(), picker=MaxScorePicker())
"""For requests that any endpoint can answer."""

LISTS_MODEL = "lists-model"
"""The step that leaves out endpoints whose server does not list the model. It comes before every policy."""

_NAMED_BY_MODEL = frozenset({"chat", "completions"})
"""APIs every server has, so that a 404 is about the model."""


class Director:
    """Decides for one pool. Safe to call from one thread only."""

    def __init__(
        self,
        pool: Pool,
        rules: Rules,
        *,
        rng: random.Random | None = None,
        observer: Observer | None = None,
        journal: Journal[Any] | None = None,
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
        self._journal = journal
        self._stopwatch = stopwatch
        self._known: tuple[Endpoint, ...] = ()

    @property
    def wants_headers(self) -> bool:
        """Whether arrivals should carry all their headers."""
        return self.rules.configured or self.pool.catalogue.sticky

    def arrive(self, arrival: Arrival, now: float) -> Routed | Refused:
        """Decide where the request goes. Every :class:`Routed` with a ticket must be ended by :meth:`finish`."""
        started = self._stopwatch()
        if arrival.body is None:
            return self._route_without_body(arrival, now)
        try:
            request = read_request(arrival.path, arrival.body)
        except PayloadError as error:
            if not self.rules.passthrough:
                return self.turn_away(arrival, bad_request(error), now)
            request = Request("other", "", False, None, arrival.body, {})
        return self.decide(arrival, request, now, started)

    def decide(self, arrival: Arrival, request: Request, now: float, started: float) -> Routed | Refused:
        """Decide where a request goes whose body has been read; ``started`` is the stopwatch's time when it came."""
        pool, rules, journal = self.pool, self.rules, self._journal
        wanted = journal is not None and journal.wants(arrival.request_id, now)
        if pool.endpoints is not self._known:
            self._endpoints_changed()
        if request.model or not rules.passthrough:
            resolution = pool.catalogue.resolve(
                request.model, rewrite=arrival.rewrite, objective=arrival.objective, headers=arrival.headers
            )
        else:
            resolution = Resolution("", pool.catalogue.priority_of(arrival.objective))
        if resolution is None:
            return self._refused(arrival, unknown_model(pool, request.model), request.model, now, wanted)
        rows = pool.rows if arrival.subset is None else pool.subset(arrival.subset)
        if not len(rows):
            return self._refused(arrival, nobody(pool, arrival), request.model, now, wanted, resolution)
        cycle = Cycle(resolution.target, resolution.priority, pool.columns, self._rng)
        if pool.columns.listed_rows:
            rows = _who_has_the_model(cycle, rows)
        lookup = self._furnish(cycle, arrival, request, now) if rules.configured else None
        kept = journal.before(pool.columns) if wanted and journal is not None else None
        shed = rules.gate.admit(cycle, rows)
        decision = None if shed is not None else rules.scheduler.schedule(cycle, rows)
        if decision is None:
            refusal = exhausted(pool, shed)
            return self._refused(arrival, refusal, request.model, now, wanted, resolution, cycle, rows, shed)
        body = None if resolution.target == request.model else request.with_model(resolution.target)
        tokens = cycle.prompt_tokens if rules.configured else prompt_length(request)
        ticket = open_ticket(pool, rules, arrival, request, resolution, decision, lookup, tokens, self._named, now)
        if body is not None:
            ticket.request_bytes = len(body)
        seconds = self._stopwatch() - started
        policy = rules.policy
        if policy is not None and policy.follows and ticket.fallbacks:
            ticket.course = Course(policy, cycle, decision)
        self._observer.routed(ticket, seconds)
        if journal is not None and kept is not None:
            ticket.noted = True
            journal.routed(kept, ticket, cycle, rows, decision, seconds)
        destination = ",".join([ticket.endpoint.address, *[endpoint.address for endpoint in ticket.fallbacks]])
        return Routed(destination, body, ticket, decision.headers, decision.response_headers, decision.steps)

    def served(self, ticket: Ticket, address: str) -> Mapping[str, str] | None:
        """The proxy reports which endpoint took the request. Of a fallback everything follows it there: the account,
        the prompt and what plugins keep. Returns the headers to set on the answer where that changes them.

        It counts until the answer's first byte: a proxy knows by then.
        """
        if ticket.charge is None or ticket.endpoint.address == address or ticket.first_byte_at is not None:
            return None
        known = self.pool.at(address)
        if known is None or not any(known.same_server(endpoint) for endpoint in ticket.fallbacks):
            return None
        return follow(self.pool, ticket, known)

    def first_byte(self, ticket: Ticket, now: float, status: int | None = None) -> None:
        """The first byte of the answer's body passed; ``status`` tells an answer from a refusal.

        Of an answer that is streamed this is the first token: the prompt is computed. Of any other it is the end.
        """
        if ticket.first_byte_at is not None:
            return
        ticket.first_byte_at = now
        ticket.lookup = ticket.course = None
        if not ticket.stream or ticket.charge is None or (status is not None and status >= 400):
            return
        self.pool.answered(ticket.charge)
        self._release_stages(ticket)
        if ticket.policy is not None and not ticket.moved:  # its time would include the attempt that failed
            ticket.policy.first_token(first_token(ticket, now))

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
        ticket.charge = ticket.lookup = ticket.course = None
        if ticket.stage_charges:
            self._release_stages(ticket)
        if ticket.insertions and ticket.tracker is not None:
            # A prompt that was refused or never answered was not computed; one whose answer broke off was.
            unanswered = outcome != "complete" and ticket.first_byte_at is None
            if unanswered or (status is not None and status >= 400):
                for insertion in ticket.insertions:
                    ticket.tracker.give_back(insertion)
            ticket.insertions = ()
        if status == 200 and self.pool.columns.knows_adapters:
            self.pool.model_answered(ticket.endpoint, ticket.target, now)
        elif status == 404 and ticket.api in _NAMED_BY_MODEL:
            self.pool.model_refused(ticket.endpoint, ticket.target)
        completion = Completion(outcome, status, response_bytes, usage)
        try:
            if ticket.policy is not None:
                ticket.policy.finished(finished(ticket, completion, now))
            self._observer.finished(ticket, completion, now)
        finally:  # or the journal would keep the request as one that never ended
            if ticket.noted and self._journal is not None:
                ticket.completion, ticket.finished_at = completion, now
                self._journal.finished(ticket)

    # -- parts of a decision ------------------------------------------------------------------------------------

    def _furnish(self, cycle: Cycle, arrival: Arrival, request: Request, now: float) -> Lookup | None:
        """Give configured plugins what they may look at."""
        cycle.endpoints = self.pool.by_row
        cycle.headers = arrival.headers
        cycle.now = now
        rules = self.rules
        if rules.policy is None or rules.policy.reads_media:
            cycle.multimodal = holds_media(request)
        prefix = rules.prefix
        if prefix is None:
            cycle.prompt_tokens = prompt_length(request)
            return None
        lookup = prefix.look_up(request, cycle.target)
        cycle.prefix = lookup.match
        cycle.prompt_tokens = lookup.blocks.tokens
        return lookup

    def _release_stages(self, ticket: Ticket) -> None:
        """The prefill and encode servers have done their part."""
        for charge in ticket.stage_charges:
            self.pool.release(charge)
        ticket.stage_charges = ()

    def _endpoints_changed(self) -> None:
        """Tell whoever keeps something about endpoints which of them have left."""
        now_ready = self.pool.by_row
        for endpoint in self._known:
            known = now_ready.get(endpoint.row)
            if known is None or not known.same_server(endpoint):
                self.rules.left(endpoint)
                if self.rules.prefix is not None:
                    self.rules.prefix.forget(endpoint)
        self._known = self.pool.endpoints

    def _route_without_body(self, arrival: Arrival, now: float) -> Routed | Refused:
        """Any ready endpoint will do: the one with the fewest requests in flight. Nothing is charged."""
        pool = self.pool
        rows: Rows = pool.rows if arrival.subset is None else pool.subset(arrival.subset)
        if not len(rows):
            return self.turn_away(arrival, nobody(pool, arrival), now)
        cycle = Cycle("", 1, pool.columns, self._rng)
        chosen = _ANY.schedule(cycle, rows)
        assert chosen is not None  # its filter never empties a list
        return Routed(",".join([pool.endpoint(row).address for row in chosen.rows[: self._named]]), None, None)

    def turn_away(self, arrival: Arrival, refusal: Refused, now: float) -> Refused:
        """Note that a request was refused before its model was known; return ``refusal``."""
        wanted = self._journal is not None and self._journal.wants(arrival.request_id, now)
        return self._refused(arrival, refusal, "", now, wanted)

    def _refused(
        self,
        arrival: Arrival,
        refusal: Refused,
        model: str,
        now: float,
        wanted: bool,
        resolution: Resolution | None = None,
        cycle: Cycle | None = None,
        rows: Rows | None = None,
        shed: Shed | None = None,
    ) -> Refused:
        target = "" if resolution is None else resolution.target
        self._observer.refused(model, target, refusal.code, now)
        if wanted and self._journal is not None:
            self._journal.refused(
                Refusal(
                    arrival.request_id,
                    now,
                    refusal.status,
                    refusal.code,
                    refusal.message,
                    model,
                    target,
                    arrival.objective,
                    None if resolution is None else resolution.priority,
                    0 if rows is None else len(rows),
                    () if cycle is None else tuple(cycle.steps),
                    "" if shed is None else shed.detector,
                    None if shed is None else shed.saturation,
                    rows,
                    self.pool.by_row,
                )
            )
        return refusal


def _who_has_the_model(cycle: Cycle, rows: Rows) -> Rows:
    kept = able(cycle.columns, cycle.target, rows)
    if len(kept) < len(rows):
        cycle.steps.append(Step(LISTS_MODEL, len(rows), len(kept), kept))
    return kept
