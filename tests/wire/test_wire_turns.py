"""Others keep their turn, however fast somebody sends: what is counted is work per turn of the loop, never time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
import uvloop

from signalbox.wire import Call, GrpcServer, Limits, Receiver, ServerTls
from signalbox.wire import frames as f
from signalbox.wire.connection import HTTP2Connection
from signalbox.wire.form import COMPILED
from signalbox.wire.frames import frame, settings
from signalbox.wire.messages import PREFIX
from signalbox.wire.protocol import GrpcProtocol
from signalbox.wire.turns import SLICE, Backlog, Turns

if TYPE_CHECKING:
    from tests.wire.conftest import RawPeer

GREETING = f.PREFACE + settings(()) + f.SETTINGS_ACK
MIB = 1 << 20
FIRST = 2048
"""Bytes of a connection's first slice."""
NEVER_ENOUGH = 1e-9
"""A turn that is over after one slice, on any machine."""
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
        yield runner


class Ears:
    """A service that counts what it hears."""

    def __init__(self, call: Call, heard: list[bytes]) -> None:
        self.call, self.heard = call, heard

    def message(self, data: bytes) -> None:
        self.heard.append(data)
        self.call.send(data)

    def half_closed(self) -> None:
        self.call.finish()

    def cancelled(self) -> None:
        pass


class Watched:
    """A server, which counts how many bytes of each connection are read and handled in each turn of the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, peer: RawPeer, **limits: float) -> None:
        self.peer = peer
        self.turn = 0
        self.reads: Counter[tuple[GrpcProtocol, int]] = Counter()
        self.handled: Counter[tuple[HTTP2Connection, int]] = Counter()
        self.heard: list[bytes] = []
        received, receive = GrpcProtocol.data_received, HTTP2Connection.receive

        def note_read(protocol: GrpcProtocol, data: bytes) -> None:
            self.reads[protocol, self.turn] += 1
            received(protocol, data)

        def note_work(connection: HTTP2Connection, data: bytes, now: float) -> None:
            self.handled[connection, self.turn] += len(data)
            receive(connection, data, now)

        monkeypatch.setattr(GrpcProtocol, "data_received", note_read)
        monkeypatch.setattr(HTTP2Connection, "receive", note_work)
        self.server = GrpcServer({"/test.Echo/Echo": self._accept}, Limits(**limits))  # type: ignore[arg-type]

    def _accept(self, call: Call) -> Receiver:
        return Ears(call, self.heard)

    def count_turns(self) -> None:
        loop = asyncio.get_running_loop()

        def next_turn() -> None:
            self.turn += 1
            loop.call_soon(next_turn)

        next_turn()

    async def connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self.server.port))
        await loop.sock_sendall(sock, GREETING + self.peer.head(1))
        return sock

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - each turn of the loop is what is looked at
                await asyncio.sleep(0)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, peer: RawPeer) -> Callable[..., Watched]:
    if COMPILED:
        pytest.skip("compiled callers do not see what this puts in a method's place")
    return lambda **limits: Watched(monkeypatch, peer, **limits)


def message(data: bytes) -> bytes:
    return frame(f.DATA, 0, 1, PREFIX.pack(0, len(data)) + data)


def test_a_flood_is_read_once_a_turn_and_handled_a_slice_at_a_time(
    runner: asyncio.Runner, watched: Callable[..., Watched]
) -> None:
    async def scene() -> None:
        at = watched(turn_seconds=NEVER_ENOUGH)
        async with at.server:
            await at.server.start("127.0.0.1", 0)
            sock = await at.connect()
            at.count_turns()
            flood = asyncio.ensure_future(asyncio.to_thread(send_all, sock, message(b"x" * 1000) * 2000))
            await at.until(lambda: len(at.heard) == 2000)
            await flood
            assert max(at.reads.values()) == 1
            # The end of one turn's slice and the beginning of the next may fall between two ticks of this test's.
            assert max(at.handled.values()) <= 2 * SLICE
            sock.close()
            await at.until(lambda: not at.server.connections)
            assert at.server.buffered_bytes == 0

    runner.run(scene())


def send_all(sock: socket.socket, data: bytes) -> None:
    sock.setblocking(True)
    sock.sendall(data)


def test_over_tls_nothing_is_lost_and_the_slices_are_as_small(
    runner: asyncio.Runner, watched: Callable[..., Watched]
) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])

    def flood(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as sock:
            sock.sendall(GREETING + at.peer.head(1))
            for number in range(20):
                sock.sendall(b"".join(message(b"%4d" % number + b"x" * 1000) for _ in range(100)))
            done.wait(20)

    at = watched(turn_seconds=NEVER_ENOUGH)
    done = threading.Event()

    async def scene() -> None:
        async with at.server:
            await at.server.start("127.0.0.1", 0, ServerTls().context)
            at.count_turns()
            flooding = asyncio.ensure_future(asyncio.to_thread(flood, at.server.port))
            await at.until(lambda: len(at.heard) == 2000)
            done.set()
            await flooding
            assert at.heard == sorted(at.heard)
            assert max(at.handled.values()) <= 2 * SLICE

    runner.run(scene())


def test_an_honest_connection_is_served_between_the_slices_of_a_flood(
    runner: asyncio.Runner, watched: Callable[..., Watched]
) -> None:
    async def scene() -> None:
        at = watched(turn_seconds=NEVER_ENOUGH)
        async with at.server:
            await at.server.start("127.0.0.1", 0)
            flooding, honest = await at.connect(), await at.connect()
            at.count_turns()
            flood = asyncio.ensure_future(asyncio.to_thread(send_all, flooding, message(b"x" * 1000) * 4000))
            await at.until(lambda: b"x" * 1000 in at.heard)
            loop = asyncio.get_running_loop()
            between = []
            while at.heard.count(b"x" * 1000) < 3000:
                before = at.heard.count(b"x" * 1000)
                await loop.sock_sendall(honest, message(b"honest"))
                served = at.heard.count(b"honest") + 1
                await at.until(lambda served=served: at.heard.count(b"honest") == served)  # type: ignore[misc]
                between.append(at.heard.count(b"x" * 1000) - before)
            await flood
            assert len(between) > 10
            # A few turns of one slice each until the honest request has crossed the loopback interface, not a megabyte.
            assert max(between) * 1000 < MIB
            flooding.close()
            honest.close()

    runner.run(scene())


def test_a_drain_keeps_its_bound_while_somebody_floods(runner: asyncio.Runner, watched: Callable[..., Watched]) -> None:
    async def scene() -> None:
        at = watched(turn_seconds=NEVER_ENOUGH)
        await at.server.start("127.0.0.1", 0)
        sock = await at.connect()

        def flood() -> None:
            with contextlib.suppress(OSError):  # the connection is gone
                while True:
                    send_all(sock, message(b"x" * 1000) * 100)

        flooding = asyncio.ensure_future(asyncio.to_thread(flood))
        await at.until(lambda: len(at.heard) > 100)
        async with asyncio.timeout(20):
            await at.server.drain(0.05)
        assert (at.server.connections, at.server.buffered_bytes) == (0, 0)
        sock.close()
        await flooding

    runner.run(scene())


# ---- the line


class Member:
    in_debt = False

    def __init__(self, name: str, slices: int, log: list[str]) -> None:
        self.name, self.slices, self.log = name, slices, log

    def work(self) -> bool:
        self.log.append(self.name)
        self.slices -= 1
        return self.slices > 0

    def charge(self, seconds: float, now: float) -> None:
        pass

    def rest(self) -> None:
        self.log.append("-")


async def test_whoever_waits_gets_one_slice_after_the_other() -> None:
    log: list[str] = []
    turns = Turns(asyncio.get_running_loop(), NEVER_ENOUGH, 0.05)
    for member in (Member("a", 4, log), Member("b", 2, log), Member("c", 1, log)):
        turns.join(member)
        turns.join(member)  # standing in line already
    assert "".join(log) == "a-"
    for _ in range(10):
        await asyncio.sleep(0)
    assert "".join(log) == "a-a-b-c-a-b-a-"


async def test_alone_and_quick_nobody_waits() -> None:
    log: list[str] = []
    Turns(asyncio.get_running_loop(), 3600, 0.05).join(Member("a", 4, log))
    assert "".join(log) == "aaaa-"


async def test_who_leaves_the_line_has_no_more_turns() -> None:
    log: list[str] = []
    turns = Turns(asyncio.get_running_loop(), NEVER_ENOUGH, 0.05)
    one, two = Member("a", 9, log), Member("b", 9, log)
    turns.join(one)
    turns.join(two)
    turns.leave(one)
    turns.leave(one)
    await asyncio.sleep(0)
    turns.leave(two)
    await asyncio.sleep(0)
    assert "".join(log) == "a-b-"


async def test_one_that_fails_does_not_take_the_others_turns(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Member):
        def work(self) -> bool:
            raise RuntimeError("broken")

    log: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: log.append(str(context["exception"])))
    turns = Turns(loop, NEVER_ENOUGH, 0.05)
    turns.join(Member("a", 2, log))
    turns.join(Broken("b", 2, log))
    turns.join(Member("c", 1, log))
    for _ in range(10):
        await asyncio.sleep(0)
    assert "".join(log) == "a-a-brokenc-"


def test_a_backlog_gives_back_what_was_put_in_slices() -> None:
    backlog = Backlog(0.001)
    backlog.put(b"a" * (FIRST + SLICE + 1))
    assert backlog.take() == b"a" * FIRST
    backlog.cost(1e-6, FIRST)
    assert backlog.take() == b"a" * SLICE
    backlog.put(b"b")
    assert (len(backlog), backlog.take(), len(backlog), backlog.take()) == (2, b"ab", 0, b"")
    backlog.put(b"c")
    backlog.clear()
    assert not backlog


def test_slices_are_as_long_as_the_time_for_one_reaches() -> None:
    backlog = Backlog(0.001)
    backlog.put(b"a" * MIB)
    sizes = []
    for seconds_per_byte in (1e-6, 1e-6, 1e-7, 1e-3, 1e-9, 1e-9):
        sizes.append(len(backlog.take()))
        backlog.cost(seconds_per_byte * sizes[-1], sizes[-1])
    assert sizes == [FIRST, 1000, 1000, 10_000, 64, SLICE]
