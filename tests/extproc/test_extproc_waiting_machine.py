"""Exchanges of all modes come, wait, are served, give up: nothing of them stays, in whatever order that happens."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.conftest import Objects
from tests.extproc.one_gateway import BUFFERED, BUFFERED_PARTIAL, FULL, NONE, STREAMED, Gateway, request_body
from tests.extproc.one_room import FLOW, HandRoom

from signalbox.director import Director, Ticket, policy_rules
from signalbox.extproc import BodyBudget
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

OBJECTS = Objects()
LIMIT = 1500
"""Bytes of all bodies: the third long one is too much."""


class Ends:
    """Counts routed requests and their ends."""

    def __init__(self) -> None:
        self.open: list[Ticket] = []

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        pass

    def routed(self, ticket: Ticket, decision_seconds: float) -> None:
        self.open.append(ticket)

    def finished(self, ticket: Ticket, completion: Any, now: float) -> None:
        self.open.remove(ticket)  # which raises for one that has ended before


class Crowd(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1.0
        self.pool = Pool("pool")
        self.pool.set_pool(OBJECTS.pool())
        self.pods: set[int] = set()
        self.ends = Ends()
        self.bodies = BodyBudget(limit=LIMIT)
        self.room = HandRoom()
        self.director = self.room.director = Director(
            self.pool,
            policy_rules(load_policy(FLOW, name="flow.yaml"), self.pool),
            rng=random.Random(1),
            observer=self.ends,
        )
        self.gateways: list[Gateway] = []

    @rule(
        mode=st.sampled_from([FULL, BUFFERED, BUFFERED_PARTIAL, STREAMED, NONE]),
        length=st.sampled_from([1, 600]),
        trailers=st.booleans(),
    )
    def arrive(self, mode: int, length: int, trailers: bool) -> None:
        gateway = Gateway(self.pool, mode, STREAMED, room=self.room, bodies=self.bodies)
        gateway.exchange._director = gateway.director = self.director
        body = request_body("m", "x" * length)
        gateway.headers(extra={"content-length": str(len(body))})
        if mode == FULL and trailers:
            gateway.body(body, end=False)
            if gateway.call.status is None:  # else there was no room for it, and nobody hears the rest
                gateway.say(request_trailers={})
        elif mode != NONE:
            gateway.body(body)
        self.gateways.append(gateway)

    @rule()
    def look(self) -> None:
        self.room.look(self.now)

    @rule(seconds=st.sampled_from([0.1, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(1, 2))
    def pod_comes_or_goes(self, number: int) -> None:
        pod = OBJECTS.pod(f"pod-{number}", f"192.168.1.{number}")
        if number in self.pods:
            self.pods.remove(number)
            self.pool.remove(pod.key)
        else:
            self.pods.add(number)
            self.pool.put(pod)

    @precondition(lambda self: self.gateways)
    @rule(data=st.data(), how=st.sampled_from(["cancelled", "half_closed", "answered", "malformed"]))
    def end(self, data: st.DataObject, how: str) -> None:
        gateway = self.gateways.pop(data.draw(st.sampled_from(range(len(self.gateways)))))
        if gateway.call.status is not None:
            return  # refused before
        if how == "answered":  # perhaps by Envoy itself, while the request waits
            gateway.answer_headers()
            gateway.answer_body(b"{}")
        elif how == "malformed":
            gateway.exchange.message(b"\xff")
        else:
            getattr(gateway.exchange, how)()

    @invariant()
    def what_waits_is_counted_once(self) -> None:
        assert self.director.waiting == len(self.room.inside)
        assert self.pool.columns.inflight.sum() == len(self.ends.open)
        assert self.bodies.held <= LIMIT
        assert len(self.bodies.holders) <= len(self.room.inside)

    def teardown(self) -> None:
        for gateway in self.gateways:
            if gateway.call.status is None:
                gateway.exchange.cancelled()
        self.what_waits_is_counted_once()
        assert (self.director.waiting, self.bodies.held, self.bodies.holders) == (0, 0, {})
        assert self.ends.open == []


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=60, stateful_step_count=50)
