"""Connections of a server in virtual time: an event loop whose clock moves only by what services are said to cost."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, repeat
from typing import Any

from signalbox.wire import Call, Limits, Receiver
from signalbox.wire import frames as f
from signalbox.wire.frames import frame, rst_stream, settings
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.messages import PREFIX
from signalbox.wire.protocol import GrpcProtocol
from signalbox.wire.turns import Turns

ROUTE = "/test.Echo/Echo"
GREETING = f.PREFACE + settings(()) + f.SETTINGS_ACK
Attack = Callable[[], tuple[bytes, Iterator[bytes]]]
"""What a connection sends once, and what it sends from then on."""
READ = 256 * 1024
"""What a socket gives at most."""


def head(stream: int, microseconds: int) -> bytes:
    """A request whose every message takes so long; opening it takes as long as well."""
    block = b"\x20" + encode_fields(
        (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", ROUTE.encode()),
            (b"content-type", b"application/grpc"),
            (b"x-cost", str(microseconds).encode()),
        )
    )
    return frame(f.HEADERS, f.END_HEADERS, stream, block)


def message(stream: int, data: bytes = b"x", end: bool = False) -> bytes:
    return frame(f.DATA, f.END_STREAM if end else 0, stream, PREFIX.pack(0, len(data)) + data)


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Machine:
    """A loop, its sockets and its services. Wall clock and CPU clock differ by the time in which nothing is done."""

    def __init__(self, **limits: float) -> None:
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self.now = self.cpu = self._round = 0.0
        self._soon: deque[Callable[[], None]] = deque()
        self._later: list[tuple[float, int, Timer]] = []
        self._order = count()
        self.peers: list[Peer] = []
        self.turns = Turns(self, self.limits.turn_seconds, self.limits.debtors_share, lambda: self.cpu)
        self._look()

    # ---- the loop

    def time(self) -> float:
        return self._round  # as uvloop's: of when this round began

    def call_soon(self, callback: Callable[[], None], *_: Any, **__: Any) -> None:
        self._soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        timer = Timer(callback)
        heapq.heappush(self._later, (self._round + delay, next(self._order), timer))
        return timer

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self.now < end:
            self._round = self.now
            while self._later and self._later[0][0] <= self.now:
                timer = heapq.heappop(self._later)[2]
                if timer.callback is not None:
                    timer.callback()
            for peer in tuple(self.peers):
                peer.poll()
            for _ in range(len(self._soon)):
                self._soon.popleft()()
            if not self._soon and not any(peer.due() <= self.now for peer in self.peers):
                coming = [peer.due() for peer in self.peers] + [at for at, _, _ in self._later[:1]]
                self.now = max(self.now, min([*coming, end]))

    def _look(self) -> None:
        self.turns.look()
        self.call_later(0.1, self._look)

    # ---- the services

    def spend(self, seconds: float) -> None:
        self.now += seconds
        self.cpu += seconds

    def connect(self, peer: Peer) -> None:
        peer.protocol = GrpcProtocol(
            self,  # type: ignore[arg-type]
            {ROUTE: lambda call: Costly(call, self, peer)},
            self.limits,
            lambda _: True,
            lambda _: None,
            lambda _: None,
            self.turns,
        )
        peer.protocol.connection_made(peer)  # type: ignore[arg-type]


class Costly(Receiver):
    """A service of which opening a call, and each of its messages, costs what the call says."""

    def __init__(self, call: Call, machine: Machine, peer: Peer) -> None:
        self._call, self._machine, self._peer = call, machine, peer
        self._seconds = int(dict(call.metadata)[b"x-cost"]) / 1e6
        self._spend()

    def _spend(self) -> None:
        self._machine.spend(self._seconds)
        self._peer.had += self._seconds

    def message(self, data: bytes) -> None:
        self._spend()
        self._call.send(data)
        self._peer.answered()

    def half_closed(self) -> None:
        self._call.finish()

    def cancelled(self) -> None:
        pass


class Peer:
    """A client and its transport."""

    protocol: GrpcProtocol

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.had = 0.0
        """CPU seconds its calls took."""
        self.reading = True
        self.closed = False
        machine.connect(self)
        machine.peers.append(self)

    def due(self) -> float:
        """When it has something to send that would be read; infinite if that is not to be known."""
        raise NotImplementedError

    def poll(self) -> None:
        """Let the server read what is there."""
        raise NotImplementedError

    def answered(self) -> None:
        """A message was answered."""

    # ---- its transport

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.machine.peers.remove(self)
            self.machine.call_soon(lambda: self.protocol.connection_lost(None))

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def write(self, data: bytes) -> None:
        pass

    def get_extra_info(self, name: str) -> None:
        pass

    def set_write_buffer_limits(self, high: int) -> None:
        pass


class Asker(Peer):
    """Asks ``per_second`` times, each request a stream of its own that costs ``microseconds`` twice."""

    def __init__(self, machine: Machine, per_second: float, microseconds: int, messages: int = 1) -> None:
        super().__init__(machine)
        self._period = 1 / per_second
        self._cost = microseconds
        self._messages = messages
        self._next = machine.now
        self._streams = count(1, 2)
        self._asked: deque[float] = deque()
        self.waits: list[float] = []
        """How long each message waited for its answer, in the order they were sent."""
        self.ever_in_debt = False
        self._unsent = GREETING

    def due(self) -> float:
        return self._next if self.reading else float("inf")

    def poll(self) -> None:
        self.ever_in_debt |= self.protocol.in_debt
        if not self.reading:
            return
        data, self._unsent = self._unsent, b""
        while self._next <= self.machine.now and len(data) < 60_000:
            stream = next(self._streams)
            data += head(stream, self._cost)
            for number in range(self._messages):
                data += message(stream, end=number == self._messages - 1)
                self._asked.append(self._next)
            self._next += self._period
        if data:
            self.protocol.data_received(data)

    def answered(self) -> None:
        self.waits.append(self.machine.now - self._asked.popleft())


class Flood(Peer):
    """Sends as much as is read, ``size`` bytes at a time; when it is cut, another one takes its place."""

    def __init__(self, machine: Machine, make: Attack, size: int = READ, kin: list[Flood] | None = None) -> None:
        super().__init__(machine)
        self._make, self._size = make, size
        once, self._again = make()
        self._unsent = GREETING + once
        self.kin: list[Flood] = [] if kin is None else kin
        """All that came one after the other, with this one."""
        self.kin.append(self)

    @property
    def all_had(self) -> float:
        """CPU seconds that all of them took."""
        return sum(flood.had for flood in self.kin)

    def due(self) -> float:
        return self.machine.now if self.reading else float("inf")

    def poll(self) -> None:
        if self.reading:
            while len(self._unsent) < self._size:
                self._unsent += next(self._again)
            data, self._unsent = self._unsent[: self._size], self._unsent[self._size :]
            self.protocol.data_received(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self.machine.call_soon(self.renew)

    abort = close

    def renew(self) -> None:
        Flood(self.machine, self._make, self._size, self.kin)


def pieces(microseconds: int) -> Attack:
    """One call, whose messages never end and are all answered."""
    batch = message(1) * 64
    return lambda: (head(1, microseconds), repeat(batch))


def resets(microseconds: int) -> Attack:
    """Streams that are reset as soon as they are opened."""

    def endless() -> Iterator[bytes]:
        for stream in count(3, 2):
            yield head(stream, microseconds) + rst_stream(stream, 8)

    return lambda: (b"", endless())
