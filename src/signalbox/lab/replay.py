"""One replay: a workload under a policy, in virtual time.

The picker's own `Pool`, `Director` and policy decide; `Engine` stands for each server. Nothing is looked at between two
arrivals, so time goes from arrival to arrival: every engine is taken up to the next one, what it reports on the way
(first tokens, ends, readings of its gauges) is sorted by time and told to the director and the pool, and then the
arrival is decided. That is the same as taking every event by itself, and a thousand times faster.

Only while requests wait in the director somebody looks in between: then time goes from one event to the next, a first
token, an end, a scrape that comes in, or a time that runs out, and the director is asked after each whose turn it is.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from signalbox.director import Arrival, Director, Routed, Ticket, Waiting
from signalbox.engine import Request as EngineRequest
from signalbox.engine import RequestState, RequestTooLarge
from signalbox.lab.members import FINISHED, FIRST_TOKEN, RECORDED, SCRAPE, Event, Member
from signalbox.lab.outcome import COMPLETE, REFUSED, TOO_LARGE, Outcome
from signalbox.lab.sampling import Sampler
from signalbox.lab.scrapes import ScrapeTimes, Scraping
from signalbox.lab.servers import Server, build_engine, build_pool, read
from signalbox.lab.stage import Contender, Stage, TracedRequest, salted, staged
from signalbox.lab.workload import TraceRequest, Workload
from signalbox.payloads import Usage

_REPORT_EVERY = 256
_BASE_MODEL = "base"
_END = 1e15  # seconds: after everything
_CHUNK = 64  # scrapes after which it is worth looking which servers have become idle
_LAST_LOOKS = 4  # scrapes of idle servers after which those who still wait will wait for ever


class _Replay:
    def __init__(
        self, workload: Workload, servers: Sequence[Server], contender: Contender, scraping: Scraping, seed: int
    ) -> None:
        self.workload, self.contender, self.scraping, self.seed = workload, contender, scraping, seed
        priorities = {request.priority for request in workload.requests}
        pool, pods = build_pool(servers, priorities)
        pool.scraping_every(scraping.interval)
        self.pool = pool
        adapters = workload.adapters
        self.chunk = _CHUNK * scraping.period
        self.every_scrape = bool(adapters)  # which adapters were seen busy is remembered from scrape to scrape
        self.members = [
            Member(number, server, build_engine(server, workload.block_tokens, adapters), pod)
            for number, (server, pod) in enumerate(zip(servers, pods, strict=True))
        ]
        self.by_address: dict[str, Member] = {}
        self.stage = Stage(pool, workload.block_tokens)
        rules = staged(contender.rules(self.stage), self.stage)
        self.director = Director(pool, rules, rng=random.Random(seed))
        changes = {(m.server.joins, m.number) for m in self.members} | {
            (m.server.leaves, m.number) for m in self.members if m.server.leaves < _END
        }
        self.changes = sorted(changes, reverse=True)
        self.now = 0.0
        self.in_flight: dict[RequestState, tuple[int, Ticket]] = {}
        self.idle_since = -math.inf  # when the last request in flight ended
        self.states: list[RequestState | None] = [None] * len(workload.requests)
        self.arrivals = np.array([request.at for request in workload.requests], float)
        self.held = np.full(len(workload.requests), np.nan)
        self.server_of = np.full(len(workload.requests), -1)
        self.ended = np.full(len(workload.requests), REFUSED)
        last = workload.requests[-1].at if workload.requests else 0.0
        self.sampler = Sampler(last, len(workload.requests), [member.engine for member in self.members])

    # -- time ---------------------------------------------------------------------------------------------------

    def advance(self, until: float) -> None:
        """Let everything happen that happens up to ``until``."""
        while True:
            stop, change, sample = until, False, False
            if self.sampler.next <= stop:
                stop, sample = self.sampler.next, True
            if self.changes and self.changes[-1][0] <= stop:
                stop, change, sample = self.changes[-1][0], True, False
            while self.every_scrape and self.in_flight and self.now + self.chunk < stop < _END:
                self._pass(self.now + self.chunk)
            if stop > self.now:
                self._pass(stop)
            if change:
                self._change(*self.changes.pop())
                self._dispatch()
            elif sample:
                self.sampler.look()
            else:
                return

    def _pass(self, until: float) -> None:
        """Let everything happen up to ``until``; from event to event as long as requests wait in the director."""
        while self.director.waiting and self.now < until:
            due = self.director.next_look(self.now)
            if due is None or due <= self.now:  # it has just been asked: what was due now is done
                due = _END
            look = min(self._next_event(), due, until)
            if look == _END:
                break  # nothing will make room any more
            if self._take(look) or look == due:
                self._dispatch()
        if self.now < until:
            self._take(until)

    def _next_event(self) -> float:
        """When something may happen that makes room for those who wait in the director."""
        settled = self.idle_since + _LAST_LOOKS * self.scraping.period + self.scraping.jitter
        if not self.in_flight and self.now >= settled:
            return _END
        return min([max(member.next_event(), self.now) for member in self.members])

    def _take(self, until: float) -> bool:
        """Take every engine up to ``until`` and tell what happened on the way, in order. Returns whether any of it may
        have made room."""
        events: list[Event] = []
        for member in self.members:
            if until == _END:
                member.step(until, events)
                continue
            # Which adapters a server was seen busy with is remembered; one that stays idle says the same each time.
            idle = self.now - member.idle_since > 2 * self.scraping.period and not member.in_flight
            member.advance(until, events, every_scrape=self.every_scrape and not idle)
        events.sort(key=itemgetter(0, 1, 2))
        for at, what, number, about in events:
            if what == FIRST_TOKEN:
                if not self.workload.requests[self.in_flight[about][0]].stream:
                    continue  # the whole answer comes at its end
                self.director.first_byte(self.in_flight[about][1], at)
            elif what == FINISHED:
                self._finished(about, at)
            else:
                self._scrape(self.members[number], what, about, at)
        self.now = until
        return any(event[1] != SCRAPE for event in events)

    def _finished(self, state: RequestState, at: float) -> None:
        number, ticket = self.in_flight.pop(state)
        request = state.request
        trace = self.workload.requests[number]
        usage = Usage(request.prompt_tokens, request.output_tokens, state.cached_tokens) if trace.usage else None
        if not trace.stream:
            self.director.first_byte(ticket, at, status=200)
        self.director.finish(ticket, at, outcome="complete", status=200, usage=usage)
        self.by_address[ticket.endpoint.address].ended(at)
        if not self.in_flight:
            self.idle_since = at

    def _scrape(self, member: Member, what: int, number: int, at: float) -> None:
        endpoint = member.endpoint
        if endpoint is None:
            return
        if what == SCRAPE:
            member.marks[number] = self.pool.begin_scrape(endpoint)
        elif what == RECORDED:
            self.pool.record(endpoint, *member.recorded(number), at)
        else:
            self.pool.scrape_failed(endpoint, at)

    def _change(self, at: float, number: int) -> None:
        """A server comes or goes."""
        member = self.members[number]
        if member.endpoint is None:
            self.pool.put(member.pod)
            host = member.pod.status.pod_ip
            endpoint = next(one for one in self.pool.endpoints if one.host == host)
            member.endpoint = endpoint
            self.by_address[endpoint.address] = member
            self.stage.engines[endpoint.row] = member.engine
            self.pool.record(endpoint, read(member.engine), self.pool.begin_scrape(endpoint), at)
            member.scrapes = ScrapeTimes(self.scraping, number, at, self.seed)
        else:
            self.pool.remove(member.pod.key)
            self.stage.engines.pop(member.endpoint.row)
            member.endpoint, member.scrapes = None, None

    # -- requests -----------------------------------------------------------------------------------------------

    def arrive(self, number: int, trace: TraceRequest) -> None:
        """Decide one request and hand it to its server, or let it wait."""
        adapter = trace.adapter or None
        target = trace.adapter or trace.model or _BASE_MODEL
        whole = trace.prompt_tokens // self.workload.block_tokens
        asked = EngineRequest(
            str(number), trace.prompt_tokens, trace.output_tokens, salted(trace.blocks[:whole], adapter), adapter
        )
        request = TracedRequest(target, trace, asked)
        headers = {"x-session-id": trace.session} if trace.session else {}
        arrival = Arrival(
            path="/v1/completions",
            body=b"",
            request_id=asked.id,
            objective=f"priority-{trace.priority}" if trace.priority else None,
            headers=headers,
            fairness_id=trace.tenant,
        )
        self.stage.request = request
        answer = self.director.decide(arrival, request, self.now, 0.0)
        if isinstance(answer, Waiting):
            answer.owner = number, asked
            self._dispatch()
        elif isinstance(answer, Routed):
            self._send(number, asked, answer)

    def _dispatch(self) -> None:
        """Let the director decide about those who wait, until it has nothing more to say."""
        while self.director.waiting:
            outcomes = self.director.dispatch(self.now)
            for waiting, answer in outcomes:
                if isinstance(answer, Routed):
                    number, asked = waiting.owner
                    self._send(number, asked, answer)
            taken = [] if outcomes else self.director.recall(self.now)
            for ticket, _ in taken:
                self._take_back(ticket)
            if not outcomes and not taken:
                return

    def _take_back(self, ticket: Ticket) -> None:
        """A request makes room on its server for one that matters more."""
        member = self.by_address[ticket.endpoint.address]
        state = member.engine.cancel(ticket.request_id, self.now)
        assert state is not None
        number, _ = self.in_flight.pop(state)
        self.states[number], self.server_of[number], self.held[number] = None, -1, np.nan
        self.ended[number] = REFUSED
        member.ended(self.now)
        self.idle_since = self.now
        self.director.finish(ticket, self.now, outcome="cancelled", status=429)

    def _send(self, number: int, asked: EngineRequest, answer: Routed) -> None:
        """The request goes to its server."""
        ticket = answer.ticket
        assert ticket is not None
        if ticket.serving is not None:
            ticket.serving.owner = self
        member = self.by_address[ticket.endpoint.address]
        self.server_of[number] = member.number
        self.held[number] = self.now - self.arrivals[number]
        try:
            state = member.engine.submit(asked, self.now)
        except RequestTooLarge:
            self.ended[number] = TOO_LARGE
            self.director.finish(ticket, self.now, outcome="complete", status=400)
            return
        self.ended[number] = COMPLETE
        self.states[number] = state
        self.in_flight[state] = (number, ticket)
        member.in_flight += 1

    def outcome(self, wall_seconds: float) -> Outcome:
        """Everything, as columns."""
        requests, states = self.workload.requests, self.states
        nan = np.nan

        def column(value: Callable[[RequestState], float]) -> Any:
            return np.array([nan if state is None else value(state) for state in states], float)

        return Outcome(
            policy=self.contender.name,
            workload=self.workload.name,
            arrival=self.arrivals,
            server=self.server_of,
            ended=self.ended,
            ttft=column(lambda state: state.first_token_at or nan) - self.arrivals,
            e2e=column(lambda state: state.finished_at or nan) - self.arrivals,
            held=self.held,
            queue=column(lambda state: (state.scheduled_at or 0.0) - state.arrival),
            prompt=np.array([request.prompt_tokens for request in requests], int),
            output=np.array([request.output_tokens for request in requests], int),
            cached=np.array([0 if state is None else state.cached_tokens or 0 for state in states], int),
            priority=np.array([request.priority for request in requests], int),
            preempted=np.array([0 if state is None else state.preemptions for state in states], int),
            servers=len(self.members),
            samples=self.sampler.samples,
            wall_seconds=wall_seconds,
        )


def replay(
    workload: Workload,
    servers: Sequence[Server],
    contender: Contender,
    *,
    scraping: Scraping | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Replay a workload on these servers under one policy.

    The same arguments give the same outcome, on any machine. ``seed`` is for the random choices of the policy and the
    times of scrapes. ``progress`` is told now and then how many requests have arrived.

    Raises:
        ValueError: a server cannot serve this workload: its blocks do not divide the trace's, or it has no LoRA slots.
    """
    begun = time.perf_counter()
    run = _Replay(workload, servers, contender, scraping or Scraping(), seed)
    for number, request in enumerate(workload.requests):
        run.advance(request.at)
        run.arrive(number, request)
        if progress is not None and number % _REPORT_EVERY == 0:
            progress(number)
    run.advance(_END)
    if progress is not None:
        progress(len(workload.requests))
    return run.outcome(time.perf_counter() - begun)
