"""A state machine of valid and mutated traffic: the ``h2`` library is the client, and a twin server gets every byte cut
in other places.

After each step the bounds of `fuzz.transport.Server` hold, and both servers said and heard the same. At the end every
call ended exactly once and nothing is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from fuzz.service import PARK
from fuzz.traffic import Client, cut
from fuzz.transport import LIMITS, Server
from h2 import events as h2_events
from h2.config import H2Configuration
from h2.connection import H2Connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from signalbox.wire.messages import PREFIX

HEAD = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Fuzz/Call"),
    (":authority", "a"),
    ("content-type", "application/grpc"),
]
which = st.integers(0, 9)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The services fail when told to; that is logged, as it should be."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Traffic(RuleBasedStateMachine):
    """``honest`` until the first byte that h2 did not mean; from then on only survival is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.server = Server()
        self.twin = Server()
        self.rng = Random(0)
        self.stranger = Client(self.rng)
        self.hostile = False
        self.honest = True
        self.now = 0.0
        self.live: list[int] = []
        self.received: dict[int, bytes] = {}
        self.statuses: dict[int, bytes] = {}

    # ---- the wire

    def carry(self, data: bytes) -> None:
        """Bring bytes to both servers; h2 judges every answer as long as it is in charge."""
        while True:
            answer = self.server.read(data, self.now)
            for piece in cut(data, self.rng):
                self.twin.connection.receive(piece, self.now)
            assert self.twin.write() == answer
            if not self.honest:
                return
            self.hear(answer)
            data = self.client.data_to_send()
            if not data:
                return

    def hear(self, answer: bytes) -> None:
        for event in self.client.receive_data(answer):
            if isinstance(event, h2_events.DataReceived):
                self.received[event.stream_id] = self.received.get(event.stream_id, b"") + event.data
            elif isinstance(event, h2_events.TrailersReceived | h2_events.ResponseReceived):
                fields = dict(event.headers)
                if b"grpc-status" in fields:
                    self.statuses[event.stream_id] = fields[b"grpc-status"]
            elif isinstance(event, h2_events.StreamReset | h2_events.StreamEnded) and event.stream_id in self.live:
                self.live.remove(event.stream_id)

    def flush(self) -> None:
        self.carry(self.client.data_to_send())

    def pick(self, number: int) -> int | None:
        return self.live[number % len(self.live)] if self.live else None

    # ---- what a client does

    @initialize(seed=st.integers(0, 2**32), window=st.sampled_from([0, 10, 5000, 65_535]), hostile=st.booleans())
    def greet(self, seed: int, window: int, hostile: bool) -> None:
        self.hostile = hostile
        self.rng.seed(seed)
        self.client.initiate_connection()
        self.client.update_settings({0x4: window})
        self.flush()

    @precondition(lambda self: self.honest)
    @rule(extra=st.integers(0, 300))
    def open(self, extra: int) -> None:
        if self.client.open_outbound_streams < LIMITS.streams:
            stream = self.client.get_next_available_stream_id()
            self.client.send_headers(stream, [*HEAD, ("x-extra", "e" * extra)])
            self.live.append(stream)
            self.flush()

    @precondition(lambda self: self.honest)
    @rule(number=which, action=st.integers(0, 7), size=st.integers(0, 9000), end=st.booleans(), pad=st.booleans())
    def say(self, number: int, action: int, size: int, end: bool, pad: bool) -> None:
        stream = self.pick(number)
        body = PREFIX.pack(0, size + 1) + bytes((action,)) + bytes(size)
        if stream is not None and self.client.local_flow_control_window(stream) > len(body) + 10:
            self.client.send_data(stream, body, end_stream=end, pad_length=9 if pad else None)
            if end:
                self.live.remove(stream)
            self.flush()

    @precondition(lambda self: self.honest)
    @rule(number=which)
    def reset(self, number: int) -> None:
        stream = self.pick(number)
        if stream is not None:
            self.client.reset_stream(stream, 8)
            self.live.remove(stream)
            self.flush()

    @precondition(lambda self: self.honest)
    @rule(number=which, increment=st.integers(1, 40_000), whole=st.booleans())
    def widen(self, number: int, increment: int, whole: bool) -> None:
        stream = self.pick(number)
        if whole or stream is None:
            self.client.increment_flow_control_window(increment)
        else:
            self.client.increment_flow_control_window(increment, stream)
        self.flush()

    @precondition(lambda self: self.honest)
    @rule(window=st.integers(0, 70_000), table=st.integers(0, 4096))
    def change_settings(self, window: int, table: int) -> None:
        self.client.update_settings({0x4: window, 0x1: table})
        self.client.ping(b"settings")
        self.flush()

    @rule()
    def answer_what_waits(self) -> None:
        self.server.resume()
        self.twin.resume()
        self.carry(b"")

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    # ---- what an attacker does

    @precondition(lambda self: self.hostile)
    @rule(count=st.integers(1, 30), deviance=st.sampled_from([0.0, 0.1, 0.5]))
    def strange_frames(self, count: int, deviance: float) -> None:
        self.honest = False
        self.carry(b"".join(self.stranger.frames(count, deviance)))

    @precondition(lambda self: self.hostile)
    @rule(noise=st.binary(min_size=1, max_size=60))
    def noise(self, noise: bytes) -> None:
        self.honest = False
        self.carry(noise)

    # ---- what holds

    @invariant()
    def an_honest_client_is_never_blamed(self) -> None:
        if self.honest:
            assert self.server.connection.fault is None

    @invariant()
    def the_cuts_make_no_difference(self) -> None:
        heard = [(p.heard, p.half, p.finished, p.ends) for p in self.server.puppets]
        assert [(p.heard, p.half, p.finished, p.ends) for p in self.twin.puppets] == heard
        assert list(self.twin.connection.streams) == list(self.server.connection.streams)
        assert str(self.twin.connection.fault) == str(self.server.connection.fault)
        assert self.twin.session.buffered_bytes == self.server.session.buffered_bytes

    def teardown(self) -> None:
        if self.honest:
            self.drink_up()
        self.server.close()
        self.twin.close()

    def drink_up(self) -> None:
        """An honest client that opens its windows gets the rest of every answer, and then every status."""
        self.answer_what_waits()
        for stream in self.live:
            self.client.increment_flow_control_window(2**20, stream)
        self.client.update_settings({0x4: 2**20})
        self.client.increment_flow_control_window(2**20)
        self.flush()
        assert self.server.connection.outbound.queued_bytes == 0
        for stream in self.statuses:  # the others were reset, here or there
            body = self.received.get(stream, b"")
            at = 0
            while at < len(body):
                flag, size = PREFIX.unpack_from(body, at)
                assert flag == 0
                at += PREFIX.size + size
            assert at == len(body)


Traffic.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTraffic: Any = Traffic.TestCase


def test_the_machine_reaches_parked_calls_and_slow_readers() -> None:
    """The steps that matter most, played by hand: a parked answer meets a closed window, and gets through."""
    machine = Traffic()
    machine.greet(seed=1, window=10, hostile=False)
    machine.open(extra=5)
    machine.say(number=0, action=PARK, size=3, end=True, pad=False)
    machine.answer_what_waits()
    machine.the_cuts_make_no_difference()
    assert machine.server.puppets[0].finished
    machine.teardown()
    assert machine.received == {1: PREFIX.pack(0, 4) + b"late"}
    assert machine.statuses == {1: b"0"}
