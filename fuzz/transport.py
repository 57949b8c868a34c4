"""The transport: `HTTP2Connection` with a gRPC session above it, checked after every read and at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from fuzz.service import Puppet
from fuzz.traffic import Client, cut
from signalbox.wire import Call, ErrorCode, HealthService, Limits, ServingStatus
from signalbox.wire.frames import DATA, FRAME_HEADER, FRAME_HEADER_BYTES, GOAWAY, HEADERS, RST_STREAM
from signalbox.wire.session import GrpcSession

LIMITS = Limits(
    streams=40,
    header_list_bytes=4096,
    continuation_frames=8,
    message_bytes=20_000,
    frame_bytes=16_384,
    stream_window_bytes=65_535,
    connection_window_bytes=100_000,
    buffered_bytes=150_000,
    reset_burst=100,
    control_burst=150,
)
"""Small enough that every limit is met."""


class Timers:
    """Deadlines that are counted and never pass."""

    def __init__(self) -> None:
        self.pending = 0

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Start one."""
        self.pending += 1
        return Timer(self)


class Timer:
    """One deadline."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers

    def cancel(self) -> None:
        """Call it off."""
        self._timers.pending -= 1


class Server:
    """One connection of a server, without a socket."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.puppets: list[Puppet] = []
        self.parked: list[Puppet] = []
        self.timers = Timers()
        self.health = HealthService(lambda service: ServingStatus.SERVICE_UNKNOWN if service else ServingStatus.SERVING)
        routes = {"/test.Fuzz/Call": self._accept, **self.health.routes()}
        self.session = GrpcSession(routes, limits, self.timers.call_later, lambda: None)
        self.connection = self.session.connection
        self.seen: Counter[str] = Counter()
        self.sent = b""
        self._given_up = False
        self._last_stream_told = 2**31

    def _accept(self, call: Call) -> Puppet:
        self.puppets.append(Puppet(call, self.parked))
        return self.puppets[-1]

    def resume(self) -> None:
        """Answer the calls that are parked."""
        parked, self.parked[:] = self.parked[:], []
        for puppet in parked:
            puppet.resume()

    def read(self, data: bytes, now: float) -> bytes:
        """Handle one read, check everything that must hold after it, return the answer."""
        self.connection.receive(data, now)
        return self.write()

    def write(self) -> bytes:
        """Return what is to be written, checked."""
        out = self.session.take()
        self._check_output(out)
        self.check_bounds()
        return out

    def check_bounds(self) -> None:
        """Nothing that is kept exceeds its limit, and no call ended twice."""
        limits, connection = self.limits, self.connection
        assert len(connection.streams) <= limits.streams
        assert connection.outbound.queued_bytes <= limits.buffered_bytes
        assert self.session.holdings.held <= limits.buffered_bytes
        whole = 2 * limits.buffered_bytes + limits.frame_bytes + limits.header_list_bytes + FRAME_HEADER_BYTES
        assert connection.buffered_bytes <= whole
        assert connection.outbound.queued_bytes == sum(s.queued_bytes for s in connection.streams.values())

    def close(self) -> None:
        """Lose the socket and check that nothing stays behind."""
        self.connection.lost()
        for puppet in self.puppets:
            assert puppet.ends + puppet.finished == 1, f"a call ended {puppet.ends} + {puppet.finished} times"
        assert not self.connection.streams
        assert self.session.buffered_bytes == 0
        assert self.session.holdings.held == 0
        assert self.connection.outbound.queued_bytes == 0
        assert self.connection.outbound.in_line == 0
        assert self.timers.pending == 0
        assert not self.health.watchers
        self.resume()
        self.session.take()
        assert self.session.buffered_bytes == 0
        fault = self.connection.fault
        self.seen["connection " + (fault.code.name if fault else "survived")] += 1
        self.seen["finished"] += sum(puppet.finished for puppet in self.puppets)
        self.seen["cancelled"] += sum(puppet.ends for puppet in self.puppets)

    def _check_output(self, out: bytes) -> None:
        """What we send is whole frames of the right shape, and nothing after a GOAWAY with an error."""
        at = 0
        while at < len(out):
            assert not self._given_up, "a frame after the last GOAWAY"
            high, low, kind, _, stream = FRAME_HEADER.unpack_from(out, at)
            size = high << 8 | low
            payload = out[at + FRAME_HEADER_BYTES : at + FRAME_HEADER_BYTES + size]
            assert len(payload) == size, "the last frame is cut short"
            at += FRAME_HEADER_BYTES + size
            if kind == GOAWAY:
                self._given_up = int.from_bytes(payload[4:8], "big") != 0
                assert int.from_bytes(payload[:4], "big") <= self._last_stream_told
                self._last_stream_told = int.from_bytes(payload[:4], "big")
            elif kind == RST_STREAM:
                self.seen["stream " + ErrorCode(int.from_bytes(payload, "big")).name] += 1
            assert (stream & 1) == (stream != 0), "a frame on a stream that no client opened"
            assert stream or kind not in (DATA, HEADERS)


def generate(rng: Random) -> list[bytes]:
    """One connection's reads, each led by the milliseconds since the one before as one byte."""
    client = Client(rng)
    count = rng.choice((5, 30, 100, 300))
    deviance = rng.choice((0.0, 0.005, 0.02, 0.1))
    traffic = client.greeting() + b"".join(client.frames(count, deviance))
    return [bytes((rng.choice((0, 0, 1, 100)),)) + read for read in cut(traffic, rng)]


def run(inputs: list[bytes], seen: Counter[str]) -> int:
    """Play one connection until it is given up or nothing is left; return about how many frames it was."""
    server = Server()
    now = 0.0
    played = []
    for step in inputs:
        now += step[0] / 1000
        server.read(step[1:], now)
        if len(server.parked) > 3:
            server.resume()
        played.append(step[1:])
        if server.connection.finished:
            break
    server.close()
    seen.update(server.seen)
    return count_frames(b"".join(played))


def count_frames(data: bytes) -> int:
    """How many frames the bytes are when read as such."""
    at, count = 24, 0
    while at + FRAME_HEADER_BYTES <= len(data):
        at += FRAME_HEADER_BYTES + int.from_bytes(data[at : at + 3], "big")
        count += 1
    return count
