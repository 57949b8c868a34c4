"""The asyncio shell: how writes are gathered, what pauses them, and what time alone ends."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from signalbox.wire import Call, GrpcServer, Limits, Receiver
from signalbox.wire import frames as f
from signalbox.wire.frames import PREFACE, SETTINGS_ACK, frame, ping, settings
from signalbox.wire.messages import PREFIX
from signalbox.wire.protocol import GrpcProtocol
from signalbox.wire.turns import Turns

if TYPE_CHECKING:
    from tests.wire.conftest import RawPeer

GREETING = PREFACE + settings(()) + SETTINGS_ACK


class Echo:
    """Sends every message back; finishes when the client has."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.over = False

    def message(self, data: bytes) -> None:
        self.call.send(data)

    def half_closed(self) -> None:
        self.call.finish()

    def cancelled(self) -> None:
        self.over = True


class FakeTransport:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.log: list[str] = []

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_extra_info(self, name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.log.append(name)


class Shell:
    """A protocol on a fake transport, with the calls it accepted."""

    def __init__(self, peer: RawPeer, **limits: Any) -> None:
        self.calls: list[Echo] = []
        self.closed = False
        self.buffered_bytes = 0
        self.protocol = GrpcProtocol(
            asyncio.get_running_loop(),
            {"/test.Echo/Echo": self._accept},
            Limits(**limits),
            lambda _: True,
            self._close,
            self._grew,
            Turns(asyncio.get_running_loop(), Limits(**limits).turn_seconds, 0.05),
        )
        self.transport = FakeTransport()
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type]
        self.peer = peer
        self.start = asyncio.get_running_loop().time()

    def _accept(self, call: Call) -> Receiver:
        self.calls.append(Echo(call))
        return self.calls[-1]

    def _close(self, protocol: GrpcProtocol) -> None:
        self.closed = True

    def _grew(self, change: int) -> None:
        self.buffered_bytes += change

    def open(self) -> Echo:
        self.protocol.data_received(GREETING + self.peer.head(1))
        self.transport.written.clear()
        return self.calls[-1]

    def kinds(self) -> list[int]:
        return [a.kind for write in self.transport.written for a in self.peer.parse(write)]

    def check(self, seconds: float) -> None:
        self.protocol.check(self.start + seconds)


@pytest.fixture
def shell(peer: RawPeer) -> Callable[..., Shell]:
    return lambda **limits: Shell(peer, **limits)


def message(data: bytes, stream: int = 1, end: bool = False) -> bytes:
    return frame(f.DATA, f.END_STREAM if end else 0, stream, PREFIX.pack(0, len(data)) + data)


class TestWriting:
    async def test_everything_one_read_triggers_leaves_in_one_write(self, shell: Callable[..., Shell]) -> None:
        one = shell()
        one.open()
        two = one.peer.head(3) + message(b"c", stream=3, end=True)
        one.protocol.data_received(message(b"a") + message(b"b") + two + ping(bytes(8)))
        assert len(one.transport.written) == 1
        assert one.kinds() == [f.HEADERS, f.DATA, f.DATA, f.HEADERS, f.DATA, f.HEADERS, f.PING]

    async def test_what_is_sent_outside_a_read_leaves_together_in_the_next_turn(
        self, shell: Callable[..., Shell]
    ) -> None:
        one = shell()
        call = one.open().call
        call.send(b"a")
        call.send(b"b")
        call.finish()
        assert one.transport.written == []
        await asyncio.sleep(0)
        assert len(one.transport.written) == 1
        assert one.kinds() == [f.HEADERS, f.DATA, f.DATA, f.HEADERS, f.RST_STREAM]

    async def test_a_socket_that_takes_no_more_is_left_alone_until_it_does(self, shell: Callable[..., Shell]) -> None:
        one = shell()
        one.open()
        one.protocol.pause_writing()
        one.protocol.data_received(message(b"a"))
        one.protocol.data_received(message(b"b"))
        assert one.transport.written == []
        one.protocol.resume_writing()
        assert len(one.transport.written) == 1
        assert one.kinds() == [f.HEADERS, f.DATA, f.DATA]

    async def test_requests_wait_while_many_answers_do(self, shell: Callable[..., Shell]) -> None:
        one = shell()
        one.open()
        one.protocol.data_received(settings(((f.INITIAL_WINDOW_SIZE, 2**30),)) + f.window_update(0, 2**30))
        one.protocol.pause_writing()
        for _ in range(40):
            one.protocol.data_received(message(bytes(30_000)))
        assert "pause_reading" in one.transport.log
        one.protocol.resume_writing()
        assert one.transport.log[-1] == "resume_reading"

    async def test_a_socket_that_holds_too_much_is_cut(self, shell: Callable[..., Shell]) -> None:
        one = shell(buffered_bytes=50_000)
        one.open()
        one.protocol.pause_writing()
        one.protocol.data_received(message(bytes(30_000)))
        assert "abort" not in one.transport.log
        one.protocol.data_received(message(bytes(30_000)))
        assert "abort" in one.transport.log

    async def test_a_last_word_that_waits_for_the_socket_is_said_before_closing(
        self, shell: Callable[..., Shell]
    ) -> None:
        one = shell()
        one.open()
        one.protocol.pause_writing()
        one.protocol.close()
        assert "close" not in one.transport.log
        one.protocol.resume_writing()
        assert one.kinds() == [f.GOAWAY]
        assert "close" in one.transport.log

    async def test_a_socket_that_died_within_this_turn_is_not_written_to_again(
        self, shell: Callable[..., Shell]
    ) -> None:
        one = shell()
        echo = one.open()
        writes = []

        def write(data: bytes) -> None:
            writes.append(data)
            raise RuntimeError("the handler is closed")

        one.transport.write = write  # type: ignore[method-assign]
        one.protocol.data_received(message(b"a"))
        one.protocol.data_received(message(b"b"))
        assert len(writes) == 1
        one.protocol.connection_lost(None)
        assert echo.over
        assert one.buffered_bytes == 0

    async def test_a_lost_socket_cancels_and_nothing_is_written_to_it(self, shell: Callable[..., Shell]) -> None:
        one = shell()
        echo = one.open()
        echo.call.send(b"under way")
        one.protocol.connection_lost(None)
        await asyncio.sleep(0)
        assert echo.over
        assert one.closed
        assert one.transport.written == []


class TestTime:
    async def test_a_slow_preface(self, shell: Callable[..., Shell]) -> None:
        one = shell(preface_seconds=5)
        one.protocol.data_received(PREFACE[:10])
        one.check(4.9)
        assert "close" not in one.transport.log
        one.check(5.1)
        assert "close" in one.transport.log

    async def test_an_idle_connection_is_drained(self, shell: Callable[..., Shell]) -> None:
        one = shell(idle_seconds=100, keepalive_seconds=1000)
        one.open()
        one.check(99)
        one.protocol.data_received(message(b"x", end=True))
        one.check(198)
        assert f.GOAWAY not in one.kinds()
        one.check(200)
        assert one.kinds()[-2:] == [f.GOAWAY, f.PING]
        one.protocol.data_received(ping(one.transport.written[-1][-8:], ack=True))
        assert "close" in one.transport.log

    async def test_a_silent_peer_is_asked_and_then_cut(self, shell: Callable[..., Shell]) -> None:
        one = shell(keepalive_seconds=10)
        echo = one.open()
        one.check(11)
        one.check(12)
        assert one.kinds() == [f.PING]
        assert "abort" not in one.transport.log
        one.check(22)
        assert "abort" in one.transport.log
        one.protocol.connection_lost(None)
        assert echo.over

    async def test_an_answer_to_the_ping_keeps_it(self, shell: Callable[..., Shell]) -> None:
        one = shell(keepalive_seconds=10)
        one.open()
        one.check(11)
        one.protocol.data_received(ping(b"alive???", ack=True))
        one.check(12)
        assert "abort" not in one.transport.log

    async def test_who_is_not_read_is_not_silent_nor_late(self, shell: Callable[..., Shell]) -> None:
        """It takes its answers, slower than they come: what it says meanwhile waits in the socket."""
        one = shell(keepalive_seconds=10, message_seconds=15, stall_seconds=100)
        echo = one.open()
        one.protocol.data_received(settings(((f.INITIAL_WINDOW_SIZE, 2**30),)) + f.window_update(0, 2**30))
        one.protocol.data_received(frame(f.DATA, 0, 1, PREFIX.pack(0, 100) + bytes(50)) + ping(bytes(8))[:12])
        one.check(1)  # which notices what is unfinished
        one.protocol.pause_writing()
        echo.call.send(bytes(2**21))
        await asyncio.sleep(0)
        assert one.transport.log[-1] == "pause_reading"
        for second in (11, 21, 31):
            one.check(second)
        assert "abort" not in one.transport.log
        one.protocol.resume_writing()
        assert one.transport.log[-1] == "resume_reading"
        one.transport.written.clear()
        one.protocol.data_received(ping(bytes(8))[12:] + frame(f.DATA, 0, 1, bytes(50)))
        assert one.kinds() == [f.PING, f.DATA]
        assert not echo.over

    async def test_a_socket_that_stalls_is_cut(self, shell: Callable[..., Shell]) -> None:
        one = shell(stall_seconds=5)
        one.open()
        one.protocol.pause_writing()
        one.check(4.9)
        assert "abort" not in one.transport.log
        one.check(6)
        assert "abort" in one.transport.log

    async def test_a_closed_connection_may_not_linger(self, shell: Callable[..., Shell]) -> None:
        one = shell()
        one.open()
        one.protocol.close()
        assert one.transport.log[-1] == "close"
        one.check(4.9)
        assert "abort" not in one.transport.log
        one.check(6)
        assert one.transport.log[-1] == "abort"

    async def test_an_idle_peer_that_ignores_the_drain_is_closed(self, shell: Callable[..., Shell]) -> None:
        one = shell(idle_seconds=100, keepalive_seconds=50)
        one.protocol.data_received(GREETING)
        one.check(101)
        assert "close" not in one.transport.log
        one.protocol.data_received(ping(bytes(8)))
        one.check(151)
        assert "close" in one.transport.log

    async def test_a_stream_that_stalls_is_cut(self, shell: Callable[..., Shell]) -> None:
        one = shell(stall_seconds=5)
        echo = one.open()
        one.protocol.data_received(settings(((f.INITIAL_WINDOW_SIZE, 0),)) + message(b"x"))
        one.check(6)
        assert echo.over
        assert one.kinds()[-1] == f.RST_STREAM


@asynccontextmanager
async def served(echoes: list[Echo], **limits: Any) -> AsyncIterator[GrpcServer]:
    def accept(call: Call) -> Receiver:
        echoes.append(Echo(call))
        return echoes[-1]

    async with GrpcServer({"/test.Echo/Echo": accept}, Limits(**limits)) as server:
        await server.start("127.0.0.1", 0)
        yield server


async def read_until_closed(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), 5)


class TestServer:
    async def test_one_connection_too_many_is_told_to_calm_down(self, peer: RawPeer) -> None:
        async with served([], connections=1) as server:
            _, first = await asyncio.open_connection("127.0.0.1", server.port)
            reader, second = await asyncio.open_connection("127.0.0.1", server.port)
            last = peer.parse(await read_until_closed(reader))[-1]
            assert (last.kind, last.payload[7]) == (f.GOAWAY, 0xB)
            assert server.connections == 1
            first.close()
            second.close()

    async def test_the_clock_is_looked_at_without_traffic(self, peer: RawPeer) -> None:
        async with served([], preface_seconds=0.05) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            last = peer.parse(await read_until_closed(reader))[-1]
            assert (last.kind, last.payload[7]) == (f.GOAWAY, 4)
            writer.close()

    async def test_drain_lets_open_calls_finish(self, peer: RawPeer) -> None:
        echoes: list[Echo] = []
        async with served(echoes) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GREETING + peer.head(1) + message(b"last"))
            await reader.readuntil(b"last")
            assert server.calls == 1
            draining = asyncio.create_task(server.drain(timeout=5))
            await reader.readuntil(b"draining")
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(ping(b"draining", ack=True) + message(b"words", end=True))
            rest = peer.parse(await read_until_closed(reader))
            assert [a.kind for a in rest] == [f.GOAWAY, f.DATA, f.HEADERS]
            await draining
            assert not echoes[0].over
            writer.close()

    async def test_drain_has_a_bound(self, peer: RawPeer) -> None:
        echoes: list[Echo] = []
        async with served(echoes) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(GREETING + peer.head(1) + message(b"stay"))
            await reader.readuntil(b"stay")
            await server.drain(timeout=0.01)
            assert echoes[0].over
            assert server.connections == 0
            assert peer.parse(await read_until_closed(reader))[-1].kind == f.GOAWAY
            writer.close()

    @pytest.mark.parametrize("rounds", range(5))
    def test_who_was_accepted_before_a_drain_and_is_heard_of_later_does_not_hold_it_up(self, rounds: int) -> None:
        async def accepted_and_drained() -> None:
            async with served([]) as server:
                with socket.create_connection(("127.0.0.1", server.port)) as early:
                    early.setblocking(False)
                    for _ in range(rounds):  # of the loop: a socket is accepted in one, its protocol told in the next
                        await asyncio.sleep(0)
                    await asyncio.wait_for(server.drain(timeout=60), 10)
                    with suppress(ConnectionResetError):  # of one that was never accepted
                        while await asyncio.wait_for(asyncio.get_running_loop().sock_recv(early, 4096), 10):
                            pass
                assert server.connections == 0

        uvloop.run(accepted_and_drained())  # asyncio itself loses such a socket

    async def test_it_starts_once(self) -> None:
        async with served([]) as server:
            with pytest.raises(RuntimeError, match=f"already listens on port {server.port}"):
                await server.start("127.0.0.1", 0)

    async def test_a_port_in_use_is_an_error(self) -> None:
        async with served([]) as server:
            with pytest.raises(OSError):
                await GrpcServer({}).start("127.0.0.1", server.port)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subject = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 {subject} -keyout {path} -out {path}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


class TestTls:
    def contexts(self, certificate: Path, *protocols: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(certificate)
        client = ssl.create_default_context(cafile=str(certificate))
        client.set_alpn_protocols(protocols)
        return server, client

    async def test_alpn_chooses_h2(self, certificate: Path, peer: RawPeer) -> None:
        tls, client = self.contexts(certificate, "http/1.1", "h2")
        async with GrpcServer({"/test.Echo/Echo": Echo}) as server:
            await server.start("127.0.0.1", 0, tls=tls)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=client, server_hostname="localhost"
            )
            writer.write(GREETING + peer.head(1) + message(b"secret"))
            assert b"application/grpc" in await reader.readuntil(b"secret")
            writer.close()
            await writer.wait_closed()

    async def test_a_client_without_h2_is_told_so(self, certificate: Path, peer: RawPeer) -> None:
        tls, client = self.contexts(certificate, "http/1.1")
        async with GrpcServer({}) as server:
            await server.start("127.0.0.1", 0, tls=tls)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=client, server_hostname="localhost"
            )
            last = peer.parse(await read_until_closed(reader))[-1]
            assert (last.kind, last.payload[7]) == (f.GOAWAY, 0xD)
            writer.close()
