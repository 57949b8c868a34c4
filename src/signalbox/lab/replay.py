"""One replay: a workload under a policy, in virtual time.

The picker's own `Pool`, `Director` and policy decide; `Engine` stands for each server. Nothing is looked at between two
arrivals, so time goes from arrival to arrival: every engine is taken up to the next one, what it reports on the way
(first tokens, ends, readings of its gauges) is sorted by time and told to the director and the pool, and then the
arrival is decided. That is the same as taking every event by itself, and a thousand times faster.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from signalbox.director import Arrival, Director, Routed, Ticket
from signalbox.engine import Engine, RequestState, RequestTooLarge
from signalbox.engine import Request as EngineRequest
from signalbox.lab.outcome import COMPLETE, REFUSED, TOO_LARGE, Outcome, Samples
from signalbox.lab.scrapes import BEGIN, READ, RECORD, ScrapeTimes, Scraping
from signalbox.lab.servers import Server, build_engine, build_pool, read
from signalbox.lab.stage import Contender, Stage, TracedRequest, salted, staged
from signalbox.lab.workload import TraceRequest, Workload
from signalbox.payloads import Usage
from signalbox.pool import Endpoint, Readings, ScrapeMark
from signalbox.resources import Pod

SAMPLES = 200
"""Moments at which the servers are looked at for the time series."""

_REPORT_EVERY = 256
_BASE_MODEL = "base"
_END = 1e15  # seconds: after everything
_CHUNK = 64  # scrapes after which it is worth looking which servers have become idle

# What happens between two arrivals, in the order it counts at one and the same moment.
_FIRST_TOKEN, _FINISHED, _BEGIN, _RECORD, _FAIL = range(5)
_Event = tuple[float, int, int, Any]  # when, what, which server, and what it is about


class _Member:
    """A server in the replay."""

    def __init__(self, number: int, server: Server, engine: Engine, pod: Pod) -> None:
        self.number = number
        self.server = server
        self.engine = engine
        self.pod = pod
        self.endpoint: Endpoint | None = None
        self.scrapes: ScrapeTimes | None = None
        self.in_flight = 0
        self.idle_since = -math.inf
        self.marks: dict[int, ScrapeMark] = {}
        self.readings: dict[int, Readings] = {}


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
            _Member(number, server, build_engine(server, workload.block_tokens, adapters), pod)
            for number, (server, pod) in enumerate(zip(servers, pods, strict=True))
        ]
        self.by_address: dict[str, _Member] = {}
        self.stage = Stage(pool, workload.block_tokens)
        rules = staged(contender.rules(self.stage), self.stage)
        self.director = Director(pool, rules, rng=random.Random(seed))
        changes = {(m.server.joins, m.number) for m in self.members} | {
            (m.server.leaves, m.number) for m in self.members if m.server.leaves < _END
        }
        self.changes = sorted(changes, reverse=True)
        self.now = 0.0
        self.in_flight: dict[RequestState, tuple[int, Ticket]] = {}
        self.states: list[RequestState | None] = [None] * len(workload.requests)
        self.server_of = np.full(len(workload.requests), -1)
        self.ended = np.full(len(workload.requests), REFUSED)
        count = SAMPLES if len(workload.requests) > 1 else 0
        last = workload.requests[-1].at if workload.requests else 0.0
        self.sample_times = np.linspace(0.0, last, count + 1)[1:]
        self.samples = np.zeros((3, len(self.sample_times), len(servers)))
        self.next_sample = 0

    # -- time ---------------------------------------------------------------------------------------------------

    def advance(self, until: float) -> None:
        """Let everything happen that happens up to ``until``."""
        while True:
            stop, change, sample = until, False, False
            if self.next_sample < len(self.sample_times) and self.sample_times[self.next_sample] <= stop:
                stop, sample = float(self.sample_times[self.next_sample]), True
            if self.changes and self.changes[-1][0] <= stop:
                stop, change, sample = self.changes[-1][0], True, False
            while self.every_scrape and self.in_flight and self.now + self.chunk < stop < _END:
                self._pass(self.now + self.chunk)
            if stop > self.now:
                self._pass(stop)
            if change:
                self._change(*self.changes.pop())
            elif sample:
                self._sample()
            else:
                return

    def _pass(self, until: float) -> None:
        """Take every engine up to ``until`` and tell what happened on the way, in order."""
        events: list[_Event] = []
        for member in self.members:
            number, engine = member.number, member.engine
            if member.scrapes is not None and until < _END:
                # Which adapters a server was seen busy with is remembered; one that stays idle says the same each time.
                idle = self.now - member.idle_since > 2 * self.scraping.period and not member.in_flight
                for moment in member.scrapes.moments(until, every=self.every_scrape and not idle):
                    if moment.what == READ:
                        self._step(member, moment.time, events)
                        member.readings[moment.number] = read(engine)
                    elif moment.what == BEGIN:
                        events.append((moment.time, _BEGIN, number, moment.number))
                    else:
                        what = _RECORD if moment.what == RECORD else _FAIL
                        events.append((moment.time, what, number, moment.number))
            self._step(member, until, events)
        events.sort(key=itemgetter(0, 1, 2))
        for at, what, number, about in events:
            if what == _FIRST_TOKEN:
                if not self.workload.requests[self.in_flight[about][0]].stream:
                    continue  # the whole answer comes at its end
                self.director.first_byte(self.in_flight[about][1], at)
            elif what == _FINISHED:
                self._finished(about, at)
            else:
                self._scrape(self.members[number], what, about, at)
        self.now = until

    def _step(self, member: _Member, until: float, events: list[_Event]) -> None:
        result = member.engine.step(until)
        for state in result.first_tokens:
            events.append((state.first_token_at or 0.0, _FIRST_TOKEN, member.number, state))
        for state in result.finished:
            events.append((state.finished_at or 0.0, _FINISHED, member.number, state))

    def _finished(self, state: RequestState, at: float) -> None:
        number, ticket = self.in_flight.pop(state)
        request = state.request
        trace = self.workload.requests[number]
        usage = Usage(request.prompt_tokens, request.output_tokens, state.cached_tokens) if trace.usage else None
        if not trace.stream:
            self.director.first_byte(ticket, at, status=200)
        self.director.finish(ticket, at, outcome="complete", status=200, usage=usage)
        member = self.by_address[ticket.endpoint.address]
        member.in_flight -= 1
        if not member.in_flight:
            member.idle_since = at

    def _scrape(self, member: _Member, what: int, number: int, at: float) -> None:
        endpoint = member.endpoint
        if endpoint is None:
            return
        if what == _BEGIN:
            member.marks[number] = self.pool.begin_scrape(endpoint)
        elif what == _RECORD:
            self.pool.record(endpoint, member.readings[number], member.marks[number], at)
            member.marks = {later: mark for later, mark in member.marks.items() if later > number}
            member.readings = {later: reading for later, reading in member.readings.items() if later > number}
        elif what == _FAIL:
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

    def _sample(self) -> None:
        for member in self.members:
            stats = member.engine.stats()
            self.samples[:, self.next_sample, member.number] = stats.running, stats.waiting, stats.kv_usage
        self.next_sample += 1

    # -- requests -----------------------------------------------------------------------------------------------

    def arrive(self, number: int, trace: TraceRequest) -> None:
        """Decide one request and hand it to its server."""
        adapter = trace.adapter or None
        target = trace.adapter or trace.model or _BASE_MODEL
        whole = trace.prompt_tokens // self.workload.block_tokens
        asked = EngineRequest(
            str(number), trace.prompt_tokens, trace.output_tokens, salted(trace.blocks[:whole], adapter), adapter
        )
        request = TracedRequest("completions", target, trace.stream, trace.max_tokens, b"", {}, trace, asked)
        headers = {"x-session-id": trace.session} if trace.session else {}
        arrival = Arrival(
            path="/v1/completions",
            body=b"",
            request_id=asked.id,
            objective=f"priority-{trace.priority}" if trace.priority else None,
            headers=headers,
        )
        self.stage.request = request
        answer = self.director.decide(arrival, request, self.now, 0.0)
        if not isinstance(answer, Routed):
            return
        ticket = answer.ticket
        assert ticket is not None
        member = self.by_address[ticket.endpoint.address]
        self.server_of[number] = member.number
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
            arrival=np.array([request.at for request in requests], float),
            server=self.server_of,
            ended=self.ended,
            ttft=column(lambda state: (state.first_token_at or nan) - state.arrival),
            e2e=column(lambda state: (state.finished_at or nan) - state.arrival),
            queue=column(lambda state: (state.scheduled_at or 0.0) - state.arrival),
            prompt=np.array([request.prompt_tokens for request in requests], int),
            output=np.array([request.output_tokens for request in requests], int),
            cached=np.array([0 if state is None else state.cached_tokens or 0 for state in states], int),
            priority=np.array([request.priority for request in requests], int),
            preempted=np.array([0 if state is None else state.preemptions for state in states], int),
            servers=len(self.members),
            samples=Samples(self.sample_times, *self.samples),
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
