"""The life of one request: resolve its model, admit it, choose an endpoint, account for it, and settle the account at
its end.

The director holds no clock and no socket. Times come in as ``now``; the only other input is a ``stopwatch`` with which
it measures its own decisions for the observer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from signalbox.admission import Shed
from signalbox.director.arrival import Arrival, Refused, Routed
from signalbox.director.asking import Asking, question
from signalbox.director.events import Completion, Course, Observer, SilentObserver, Ticket
from signalbox.director.following import follow
from signalbox.director.furnishing import furnish, who_has_the_model
from signalbox.director.journal import Journal, refusal_told
from signalbox.director.line import Line
from signalbox.director.named import Named
from signalbox.director.observations import finished, first_token, service
from signalbox.director.precise import PreciseTracker
from signalbox.director.recalls import Recalls
from signalbox.director.refusals import (
    bad_request,
    exhausted,
    nobody,
    unknown_model,
)
from signalbox.director.rules import Rules
from signalbox.director.tickets import keep_prompt, open_ticket, prompt_length, release_stages
from signalbox.director.tokens import Tokens, known_tokens
from signalbox.director.turns import Turns
from signalbox.director.wait import Wait
from signalbox.director.waiting import Waiting
from signalbox.native import mypyc_attr
from signalbox.payloads import PayloadError, Request, Usage, read_request
from signalbox.pool import Endpoint, Pool, Resolution, Rows
from signalbox.scheduling import Cycle, Profile
from signalbox.scheduling.filters import Reachable
from signalbox.scheduling.pickers import MaxScorePicker

_ANY: Final = Profile(filters=(Reachable(),), scorers=(), picker=MaxScorePicker())
"""For requests that any endpoint can answer."""

_NAMED_BY_MODEL: Final = frozenset({"chat", "completions"})
"""APIs every server has, so that a 404 is about the model."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Director(Turns):
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
        self._named = Named(pool, None if fallbacks is None else 1 + fallbacks)
        self.rules = rules
        """What is decided by. Assign to it to replace them between two requests."""
        self._rng = rng or random.Random()
        self._observer = observer or SilentObserver()
        self._journal = journal
        self._stopwatch = stopwatch
        self._known: tuple[Endpoint, ...] = ()
        self._line = Line(pool, self._rng, self._observer)
        self._recalls = Recalls(pool, self._observer)
        self._more = False

    @property
    def wants_headers(self) -> bool:
        """Whether arrivals should carry all their headers."""
        return self.rules.configured or self.pool.catalogue.sticky

    def arrive(self, arrival: Arrival, now: float) -> Routed | Refused | Waiting | Asking:
        """Decide where the request goes, or let it wait: then :meth:`dispatch` tells, unless :meth:`withdraw` comes
        first; or ask for its prompt's token ids: then :meth:`proceed` goes on, unless it is dropped. Every
        :class:`Routed` with a ticket must be ended by :meth:`finish`."""
        started = self._stopwatch()
        if arrival.body is None:
            return self._route_without_body(arrival, now)
        try:
            request = read_request(arrival.path, arrival.body)
        except PayloadError as error:
            if not self.rules.passthrough:
                return self.turn_away(arrival, bad_request(error), now)
            request = Request("other", "", False, None, arrival.body, {})
        prefix = self.rules.prefix
        if isinstance(prefix, PreciseTracker):
            tokens = known_tokens(request)
            if tokens is not None:
                arrival = msgspec.structs.replace(arrival, tokens=tokens)
            elif (asking := question(arrival, request, prefix.source, now)) is not None:
                return asking
        return self.decide(arrival, request, now, started)

    def proceed(self, asking: Asking, tokens: Tokens | None, now: float) -> Routed | Refused | Waiting:
        """Decide about a request whose prompt's token ids are there, or will not come."""
        arrival = asking.arrival if tokens is None else msgspec.structs.replace(asking.arrival, tokens=tokens)
        outcome = self.decide(arrival, asking.request, now, self._stopwatch())
        if isinstance(outcome, Routed) and outcome.ticket is not None and outcome.ticket.wait is None:
            outcome.ticket.received_at = asking.began
        return outcome

    def decide(self, arrival: Arrival, request: Request, now: float, started: float) -> Routed | Refused | Waiting:
        """Decide about a request whose body has been read; ``started`` is the stopwatch's time when it came."""
        return self._decide(arrival, request, now, started, self._wants(arrival, now))

    def _decide(
        self, arrival: Arrival, request: Request, now: float, started: float, wanted: bool, wait: Wait | None = None
    ) -> Routed | Refused | Waiting:
        """``wait`` is that of a request whose turn has come."""
        pool, rules, journal = self.pool, self.rules, self._journal
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
        if rules.flow is not None and wait is None and (len(rows) or not pool.endpoints) and pool.spec is not None:
            flow = self._line.flow(rules, arrival, resolution.priority)
            wait, place = self._line.enter(rules, flow, arrival, request, now, wanted)
            if isinstance(place, Waiting):
                return place
            if place is not None:
                refusal = self._no_place(place)
                return self._refused(arrival, refusal, request.model, now, wanted, resolution, wait=wait)
        if not len(rows):
            return self._refused(arrival, nobody(pool, arrival), request.model, now, wanted, resolution, wait=wait)
        cycle = Cycle(resolution.target, resolution.priority, pool.columns, self._rng)
        if pool.columns.listed_rows:
            rows = who_has_the_model(cycle, rows)
        lookup = furnish(pool, rules, cycle, arrival, request, now) if rules.configured else None
        if wait is not None and cycle.slo_ttft is not None:
            cycle.slo_ttft -= wait.seconds  # the client has been waiting all the while
        if rules.policy is not None:
            rules.policy.prepare(cycle)
        kept = journal.before(pool.columns) if wanted and journal is not None else None
        shed = rules.gate.admit(cycle, rows)
        decision = None if shed is not None else rules.scheduler.schedule(cycle, rows)
        if decision is None:
            refusal = exhausted(pool, shed)
            return self._refused(arrival, refusal, request.model, now, wanted, resolution, cycle, rows, shed, wait)
        body = None if resolution.target == request.model else request.with_model(resolution.target)
        tokens = cycle.prompt_tokens if rules.configured else prompt_length(request)
        choice = self._named.choice(decision.rows)
        ticket = open_ticket(
            pool, rules, arrival, request, resolution, decision, lookup, tokens, choice.first, choice.fallbacks, now
        )  # fmt: skip
        if body is not None:
            ticket.request_bytes = len(body)
        if wait is not None:
            ticket.wait, ticket.received_at = wait, wait.began
            self._recalls.sent(rules, ticket)
        if cycle.predictions is not None:
            ticket.predicted = cycle.predictions.of(ticket.endpoint.row)
        seconds = self._stopwatch() - started
        policy = rules.policy
        if policy is not None and policy.follows and ticket.fallbacks:
            ticket.course = Course(policy, cycle, decision)
        self._observer.routed(ticket, seconds)
        if journal is not None and kept is not None:
            ticket.noted = True
            journal.routed(kept, ticket, cycle, rows, decision, seconds)
        return Routed(choice.destination, body, ticket, decision.headers, decision.response_headers, decision.steps)

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
        release_stages(self.pool, ticket)
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
        if ticket.serving is not None and self._recalls.ended(self.rules, ticket, now):
            outcome = "evicted"
        if ticket.wait is not None:
            self._line.ended(ticket, status, now)
        if ticket.stage_charges:
            release_stages(self.pool, ticket)
        if ticket.insertions:
            keep_prompt(ticket, outcome, status)
        if status == 200 and self.pool.columns.knows_adapters:
            self.pool.model_answered(ticket.endpoint, ticket.target, now)
        elif status == 404 and ticket.api in _NAMED_BY_MODEL:
            self.pool.model_refused(ticket.endpoint, ticket.target)
        completion = Completion(outcome, status, response_bytes, usage)
        try:
            if ticket.policy is not None:
                ticket.policy.finished(finished(ticket, completion, now))
            if ticket.wait is not None and self.rules.flow is not None:
                self.rules.flow.finished(ticket.wait.flow, *service(ticket, completion), now)
            self._observer.finished(ticket, completion, now)
        finally:  # or the journal would keep the request as one that never ended
            if ticket.noted and self._journal is not None:
                ticket.completion, ticket.finished_at = completion, now
                self._journal.finished(ticket)

    # -- parts of a decision ------------------------------------------------------------------------------------

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

    def _turn_came(self, waiting: Waiting, now: float) -> Routed | Refused:
        arrival, request, wait = waiting.arrival, waiting.request, waiting.wait
        if request is None:
            outcome = self._route_without_body(arrival, now, wait, waiting.wanted)
        else:
            outcome = self._decide(arrival, request, now, self._stopwatch(), waiting.wanted, wait)
        assert not isinstance(outcome, Waiting)
        return outcome

    def _route_without_body(
        self, arrival: Arrival, now: float, wait: Wait | None = None, wanted: bool = False
    ) -> Routed | Refused | Waiting:
        """Any ready endpoint will do: the one with the fewest requests in flight. Nothing is charged, and nobody waits
        but for the first endpoint. ``wait`` is that of a request whose turn has come, ``wanted`` whether the journal
        wants it then."""
        pool, rules = self.pool, self.rules
        if rules.flow is not None and wait is None and not pool.endpoints and pool.spec is not None:
            flow = self._line.flow(rules, arrival, pool.catalogue.priority_of(arrival.objective))
            wanted = self._wants(arrival, now)
            wait, place = self._line.enter(rules, flow, arrival, None, now, wanted)
            if isinstance(place, Waiting):
                return place
            return self._refused(arrival, self._no_place(place or ""), "", now, wanted, wait=wait)
        rows: Rows = pool.rows if arrival.subset is None else pool.subset(arrival.subset)
        if not len(rows):
            wanted = wanted if wait is not None else self._wants(arrival, now)
            return self._refused(arrival, nobody(pool, arrival), "", now, wanted, wait=wait)
        cycle = Cycle("", 1, pool.columns, self._rng)
        chosen = _ANY.schedule(cycle, rows)
        assert chosen is not None  # its filter never empties a list
        return Routed(self._named.choice(chosen.rows).destination, None, None)

    def turn_away(self, arrival: Arrival, refusal: Refused, now: float) -> Refused:
        """Note that a request was refused before its model was known; return ``refusal``."""
        return self._refused(arrival, refusal, "", now, self._wants(arrival, now))

    def _wants(self, arrival: Arrival, now: float) -> bool:
        return self._journal is not None and self._journal.wants(arrival.request_id, now)

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
        wait: Wait | None = None,
    ) -> Refused:
        target = "" if resolution is None else resolution.target
        self._observer.refused(model, target, refusal.code, now)
        if wanted and self._journal is not None:
            endpoints = self.pool.by_row
            self._journal.refused(
                refusal_told(arrival, refusal, model, now, resolution, cycle, rows, shed, wait, endpoints)
            )
        return refusal
