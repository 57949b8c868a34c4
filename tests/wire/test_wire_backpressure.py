"""What waits costs memory only, and only its own stream; who holds too much is asked to stop before it is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from fuzz.service import ECHO
from fuzz.transport import Server

from signalbox.wire import Call, ErrorCode, GrpcServer, Limits, Receiver
from signalbox.wire import frames as f
from signalbox.wire.frames import frame, rst_stream, settings, window_update
from signalbox.wire.messages import PREFIX
from signalbox.wire.stream_table import STREAM_COST

if TYPE_CHECKING:
    from tests.wire.conftest import Frame, RawPeer

KIB, MIB = 1 << 10, 1 << 20
WINDOW = 65_536
FUZZ = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test.Fuzz/Call"),
    (b":authority", b"a"),
    (b"content-type", b"application/grpc"),
)


class Line:
    """A raw client whose server echoes; the client opens no window at first."""

    def __init__(self, peer: RawPeer, **limits: int) -> None:
        bounds = {"stream_window_bytes": WINDOW, "connection_window_bytes": 2**30, "message_bytes": MIB, **limits}
        self.server = Server(Limits(**bounds))
        self.peer = peer
        self.peer.connection = self.server.connection
        self.send(f.PREFACE + settings(((f.INITIAL_WINDOW_SIZE, 0),)) + f.SETTINGS_ACK + window_update(0, 2**30))

    def send(self, *data: bytes) -> list[Frame]:
        return self.peer.parse(self.server.read(b"".join(data), 0.0))

    def open(self, stream: int) -> None:
        self.send(self.peer.head(stream, fields=FUZZ))

    def echo(self, stream: int, size: int) -> list[Frame]:
        """Send a message that comes back, ``size`` bytes of DATA with its prefix."""
        return self.send(frame(f.DATA, 0, stream, PREFIX.pack(0, size - 5) + bytes((ECHO,)) + bytes(size - 6)))


def topped_up(sent: list[Frame]) -> list[int]:
    return [a.stream for a in sent if a.kind == f.WINDOW_UPDATE and a.stream]


@pytest.fixture
def line(raw_peer: Callable[..., RawPeer]) -> Line:
    """The connection may hold 300 KiB of answers."""
    return Line(raw_peer(), buffered_bytes=300 * KIB)


class TestAStreamWhoseAnswersAreNotRead:
    def test_is_topped_up_as_long_as_little_waits(self, line: Line) -> None:
        line.open(1)
        assert topped_up(line.echo(1, 40_000)) == [1]

    def test_gets_no_more_window_once_half_of_the_limit_is_held(self, line: Line) -> None:
        for stream in (1, 3, 5):
            line.open(stream)
            line.echo(stream, 60_000)
        assert line.server.connection.outbound.queued_bytes > 150 * KIB
        assert line.echo(5, 40_000) == []
        assert line.server.connection.outbound.queued_bytes == 220_000

    def test_holds_up_no_other_stream(self, line: Line) -> None:
        for stream in (1, 3, 5):
            line.open(stream)
            line.echo(stream, 60_000)
        line.open(7)
        line.send(window_update(7, 10**6))
        for _ in range(20):
            answer = line.echo(7, 30_000)
            assert sum(len(a.payload) for a in answer if a.kind == f.DATA and a.stream == 7) == 30_000
        assert line.server.connection.outbound.queued_bytes == 180_000

    def test_gets_its_window_when_its_own_answers_have_gone(self, line: Line) -> None:
        for stream in (1, 3, 5):
            line.open(stream)
            line.echo(stream, 60_000)
        line.echo(5, 40_000)
        assert topped_up(line.send(window_update(5, 99_999))) == []
        sent = line.send(window_update(5, 1))
        assert [(a.stream, a.number) for a in sent if a.kind == f.WINDOW_UPDATE] == [(5, 40_000)]

    def test_is_forgotten_with_its_answers(self, line: Line) -> None:
        for stream in (1, 3, 5):
            line.open(stream)
            line.echo(stream, 60_000)
        line.send(*(rst_stream(stream, 8) for stream in (1, 3, 5)))
        assert line.server.session.buffered_bytes == 0


def test_the_stream_that_holds_the_most_is_cut_not_the_one_that_sends(raw_peer: Callable[..., RawPeer]) -> None:
    line = Line(raw_peer(), buffered_bytes=100 * KIB, stream_window_bytes=200_000)
    line.open(1)
    line.open(3)
    for _ in range(3):
        line.echo(1, 30_000)
    (cut,) = (a for a in line.echo(3, 20_000) if a.kind == f.RST_STREAM)
    assert (cut.stream, cut.number) == (1, ErrorCode.ENHANCE_YOUR_CALM)
    assert line.server.connection.outbound.queued_bytes == 20_000
    assert [puppet.ends for puppet in line.server.puppets] == [1, 0]


class Waiting:
    """A call that is answered when somebody says so."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def message(self, data: bytes) -> None:
        pass

    def half_closed(self) -> None:
        pass

    def cancelled(self) -> None:
        pass


async def test_calls_that_wait_cost_memory_only() -> None:
    """No task and no timer stands behind a call, and its price is known; thousands may wait for admission."""
    waiting: list[Waiting] = []
    all_there = asyncio.Event()

    def accept(call: Call) -> Receiver:
        waiting.append(Waiting(call))
        if len(waiting) == 500:
            all_there.set()
        return waiting[-1]

    async with GrpcServer({"/test.Wait/Wait": accept}, Limits()) as server:
        await server.start("127.0.0.1", 0)
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
            method = channel.unary_unary("/test.Wait/Wait")
            calls = [method(b"may I?") for _ in range(500)]
            await asyncio.wait_for(all_there.wait(), 10)
            assert server.calls == 500
            assert 500 * STREAM_COST < server.buffered_bytes < 500 * (STREAM_COST + KIB)
            ours = [task for task in asyncio.all_tasks() if "signalbox" in repr(task.get_coro())]
            assert ours == []
            for one in reversed(waiting):
                one.call.send(b"yes")
                one.call.finish()
            assert await asyncio.gather(*calls) == [b"yes"] * 500
            assert server.buffered_bytes == 0


class Echo(Waiting):
    def message(self, data: bytes) -> None:
        self.call.send(data)

    def half_closed(self) -> None:
        self.call.finish()


async def test_an_honest_client_that_reads_late_is_slowed_down_and_not_cut() -> None:
    """It writes four times what the connection may hold before it has read a byte, and gets all of it."""
    limits = Limits(buffered_bytes=4 * MIB, stream_window_bytes=MIB, connection_window_bytes=MIB)
    async with GrpcServer({"/test.Echo/Echo": Echo}, limits) as server:
        await server.start("127.0.0.1", 0)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
            call = channel.stream_stream("/test.Echo/Echo")()
            pieces = [bytes((n,)) * 64 * KIB for n in range(256)]
            peak = 0

            async def write() -> None:
                for piece in pieces:
                    await call.write(piece)
                await call.done_writing()

            writing = asyncio.create_task(write())
            other = channel.unary_unary("/test.Echo/Echo")
            while server.buffered_bytes < 2 * MIB:
                assert await other(b"not held up", timeout=20) == b"not held up"
            for piece in pieces:
                assert await call.read() == piece
                peak = max(peak, server.buffered_bytes)
            assert await call.read() is grpc.aio.EOF
            await writing
            assert 2 * MIB < peak < 4 * MIB
            assert not server.faults
