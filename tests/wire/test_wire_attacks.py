"""Known attacks, over real sockets against a listening server, while a grpcio client beside them gets all its answers.

Those of frames, of windows and of what is left unsaid come over TLS as well, where reads and pauses take another way.

What is asserted of the server are its own counters: why it gave connections up, how many calls it took, what it keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import grpc.aio
import pytest
from hpack import Encoder
from tests.wire.authority import Authority

from signalbox.wire import Call, ErrorCode, GrpcServer, Limits, Receiver, ServerTls
from signalbox.wire import frames as f
from signalbox.wire.frames import frame, ping, rst_stream, settings, window_update
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.messages import PREFIX

if TYPE_CHECKING:
    from tests.wire.conftest import Frame, RawPeer

T = TypeVar("T")
KIB, MIB = 1 << 10, 1 << 20
GREETING = f.PREFACE + settings(()) + f.SETTINGS_ACK
CALM = ErrorCode.ENHANCE_YOUR_CALM


class Echo:
    """Sends messages back; one of eight bytes is the size of the answer to make up instead, ``wait`` asks for none."""

    def __init__(self, call: Call, arena: Arena) -> None:
        self.call = call
        self.arena = arena
        self.waits = False

    def message(self, data: bytes) -> None:
        self.waits = data == b"wait"
        if not self.waits:
            self.call.send(bytes(int.from_bytes(data, "big")) if len(data) == 8 else data)

    def half_closed(self) -> None:
        if not self.waits:
            self.call.finish()

    def cancelled(self) -> None:
        self.arena.cancelled += 1


class Attacker:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: RawPeer) -> None:
        self.reader, self.writer, self._peer = reader, writer, peer

    async def send(self, data: bytes) -> bool:
        """Send, and say whether the connection still stands."""
        if self.writer.transport.is_closing():
            return False
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError:
            return False
        return True

    async def flood(self, make: Callable[[int], bytes], most: int = 100_000) -> int:
        """Send until the server closes the connection; return how often it took to notice."""
        for turn in range(most):
            if self.reader.at_eof() or not await self.send(make(turn)):
                return turn
            await asyncio.sleep(0)
        pytest.fail("the server let the flood go on")

    async def closed(self) -> list[Frame]:
        """Wait for the server to close; return what it said, as far as the network let it arrive."""
        said = b""
        with contextlib.suppress(OSError):
            while data := await asyncio.wait_for(self.reader.read(MIB), 10):
                said += data
        return self._peer.parse(said)


@dataclass
class Arena:
    """A server, an honest client, and as many attackers as wanted."""

    server: GrpcServer
    channel: grpc.aio.Channel
    peer: RawPeer
    accepted: int = 0
    cancelled: int = 0
    peak_bytes: int = 0
    attackers: list[Attacker] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    """What an attacker trusts; without it the server speaks in plaintext."""

    async def attacker(self, greeting: bytes = GREETING) -> Attacker:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=8 * MIB, ssl=self.tls)
        self.attackers.append(Attacker(reader, writer, self.peer))
        await self.attackers[-1].send(greeting)
        return self.attackers[-1]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the honest client call until something is so, and 20 times at least; every answer must be right."""
        echo = self.channel.unary_unary("/test.Echo/Echo")
        calls = 0
        async with asyncio.timeout(30):
            while calls < 20 or not condition():
                sent = f"call {calls}".encode() * 50
                assert await echo(sent) == sent
                self.peak_bytes = max(self.peak_bytes, self.server.buffered_bytes)
                calls += 1

    async def beside(self, attack: Awaitable[T]) -> T:
        """Let the honest client call until the attack is over."""
        task = asyncio.ensure_future(attack)
        await self.until(task.done)
        return await task

    def dismiss(self) -> None:
        """Take every attacker off the network."""
        for attacker in self.attackers:
            attacker.writer.transport.abort()

    async def settled(self) -> None:
        """When the attackers have gone, the honest client is alone and nothing is kept."""
        self.dismiss()
        await self.until(lambda: self.server.connections == 1)
        assert self.server.calls == 0
        assert self.server.buffered_bytes == 0


@asynccontextmanager
async def arena(peer: RawPeer, certificates: Path | None, **limits: Any) -> AsyncIterator[Arena]:
    def accept(call: Call) -> Receiver:
        ring.accepted += (b"x-from", b"attacker") in call.metadata
        return Echo(call, ring)

    bounds = {"control_burst": 500, "controls_per_second": 10, "reset_burst": 100, "resets_per_second": 1, **limits}
    server = GrpcServer({"/test.Echo/Echo": accept}, Limits(**bounds))
    authority = Authority()
    if certificates is not None:
        authority.issue(certificates)
    await server.start("127.0.0.1", 0, None if certificates is None else ServerTls(certificates).context)
    address, options = f"127.0.0.1:{server.port}", [("grpc.use_local_subchannel_pool", 1)]
    if certificates is None:
        honest = grpc.aio.insecure_channel(address, options=options)
    else:
        honest = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority.pem), options=options)
    async with server, honest as channel:
        ring = Arena(server, channel, peer, tls=None if certificates is None else authority.client())
        assert await channel.unary_unary("/test.Echo/Echo")(b"before") == b"before"
        try:
            yield ring
            await asyncio.wait_for(ring.settled(), 10)
        finally:
            ring.dismiss()
            await asyncio.sleep(0)


Open = Callable[..., Any]


@pytest.fixture
def over(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "plaintext")


BOTH = pytest.mark.parametrize("over", ["plaintext", "TLS"], indirect=True)


@pytest.fixture
def opened(peer: RawPeer, over: str, tmp_path: Path) -> Open:
    """Open an arena; keyword arguments are limits."""
    return lambda **limits: arena(peer, tmp_path if over == "TLS" else None, **limits)


def head(stream: int, end: bool = False) -> bytes:
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/test.Echo/Echo"),
        (b":authority", b"picker"),
        (b"content-type", b"application/grpc"),
        (b"x-from", b"attacker"),
    )
    block = b"\x20" + encode_fields(fields)
    return frame(f.HEADERS, f.END_HEADERS | (f.END_STREAM if end else 0), stream, block)


def odd(turn: int) -> int:
    return 2 * turn + 1


def waiting(stream: int) -> bytes:
    """The whole body of a request that is not answered."""
    return frame(f.DATA, f.END_STREAM, stream, PREFIX.pack(0, 4) + b"wait")


def ask(stream: int, size: int) -> bytes:
    """A request for an answer of so many bytes."""
    return head(stream) + frame(f.DATA, f.END_STREAM, stream, PREFIX.pack(0, 8) + size.to_bytes(8, "big"))


@BOTH
async def test_rapid_reset(opened: Open) -> None:  # CVE-2023-44487
    async with opened() as ring:
        attacker = await ring.attacker()
        await ring.beside(attacker.flood(lambda turn: head(odd(turn)) + rst_stream(odd(turn), 8)))
        assert ring.server.faults == {CALM: 1}
        assert ring.accepted <= 201, "the burst, once more while it refills, and the one that was too many"
        assert ring.cancelled == ring.accepted


MADE_RESETS = {
    "WINDOW_UPDATE of 0": lambda stream: head(stream) + window_update(stream, 0),
    "window overflow": lambda stream: head(stream) + window_update(stream, 2**31 - 1),
    "DATA after the end": lambda stream: head(stream) + waiting(stream) + frame(f.DATA, 0, stream),
    "HEADERS in the middle": lambda stream: head(stream) + head(stream),
    "PRIORITY of 4 bytes": lambda stream: head(stream) + frame(f.PRIORITY, 0, stream, bytes(4)),
    "malformed request": lambda stream: frame(f.HEADERS, f.END_HEADERS, stream, b"\x20\x82"),
}


@pytest.mark.parametrize("provoke", MADE_RESETS.values(), ids=MADE_RESETS)
async def test_made_you_reset(opened: Open, provoke: Callable[[int], bytes]) -> None:  # CVE-2025-8671
    async with opened() as ring:
        attacker = await ring.attacker()
        await ring.beside(attacker.flood(lambda turn: provoke(odd(turn)), most=5000))
        assert sum(ring.server.faults.values()) == 1
        assert ring.accepted <= 201


@BOTH
async def test_continuation_flood(opened: Open) -> None:  # CVE-2024-27316 and its kin
    async with opened() as ring:
        attacker = await ring.attacker(GREETING + frame(f.HEADERS, 0, 1, b"\x20"))
        piece = encode_fields([(b"x", b"y" * 100)])
        await ring.beside(attacker.flood(lambda turn: frame(f.CONTINUATION, 0, 1, piece)))
        assert ring.server.faults == {CALM: 1}
        assert ring.peak_bytes < 64 * KIB


FLOODS = {
    "SETTINGS": settings(()),
    "SETTINGS with many values": settings([(f.INITIAL_WINDOW_SIZE, 10)] * 2000),
    "PING": ping(b"anything"),
    "PING answers": ping(b"anything", ack=True),
    "empty DATA": frame(f.DATA, 0, 1),
    "empty padded DATA": frame(f.DATA, f.PADDED, 1, b"\x05" + bytes(5)),
    "PRIORITY": frame(f.PRIORITY, 0, 1, bytes(5)),
    "PRIORITY on idle streams": frame(f.PRIORITY, 0, 2**31 - 1, bytes(5)),
    "WINDOW_UPDATE of the connection": window_update(0, 1),
    "WINDOW_UPDATE of a stream": window_update(1, 1),
    "unknown frames": frame(0xEE, 0, 1, bytes(20)),
    "GOAWAY": f.goaway(0, 0),
}


@BOTH
@pytest.mark.parametrize("one", FLOODS.values(), ids=FLOODS)
async def test_control_frame_floods(opened: Open, one: bytes) -> None:  # CVE-2019-9512, 9515, 9518 and others
    async with opened() as ring:
        attacker = await ring.attacker(GREETING + head(1))
        await ring.beside(attacker.flood(lambda turn: one * 10, most=5000))
        assert ring.server.faults == {CALM: 1}
        assert ring.peak_bytes < 64 * KIB


@BOTH
async def test_empty_headers_flood(opened: Open) -> None:  # CVE-2019-9518
    async with opened() as ring:
        attacker = await ring.attacker()
        await ring.beside(attacker.flood(lambda turn: frame(f.HEADERS, f.END_HEADERS, odd(turn), b"\x20"), most=5000))
        assert ring.server.faults == {CALM: 1}
        assert ring.accepted == 0


@BOTH
async def test_hpack_bomb(opened: Open) -> None:  # CVE-2016-6581: few bytes on the wire, many in memory
    async with opened() as ring:
        attacker = await ring.attacker(f.PREFACE + settings(()))
        entry = Encoder().encode([("x", "y" * 4000)], huffman=False)
        bomb = frame(f.HEADERS, f.END_HEADERS, 1, entry + b"\xbe" * 15_000)
        assert await ring.beside(attacker.send(bomb))
        (last,) = [said for said in await attacker.closed() if said.kind == f.GOAWAY]
        assert last.payload[7] == CALM
        assert ring.accepted == 0


async def test_hpack_table_size_updates(opened: Open) -> None:
    async with opened() as ring:
        attacker = await ring.attacker(GREETING + frame(f.HEADERS, f.END_HEADERS, 1, b"\x20" * 16_000))
        await ring.beside(attacker.closed())
        assert ring.server.faults == {ErrorCode.COMPRESSION_ERROR: 1}


async def test_oversized_header_lists_cost_their_stream_and_then_the_connection(opened: Open) -> None:
    async with opened(header_list_bytes=20_000) as ring:
        attacker = await ring.attacker()
        oversized = b"\x20" + b"\x90" * 1000  # accept-encoding, 60 bytes each as section 6.5.2 counts
        await ring.beside(attacker.flood(lambda turn: frame(f.HEADERS, f.END_HEADERS, odd(turn), oversized), most=5000))
        resets = [said for said in await attacker.closed() if said.kind == f.RST_STREAM]
        assert {reset.number for reset in resets} <= {CALM}
        assert ring.server.faults == {CALM: 1}
        assert ring.accepted == 0


async def test_heads_that_are_hoarded(opened: Open) -> None:
    """Streams that stay open keep their heads: beyond the limit they are refused, unharmed and free to be retried."""
    async with opened(buffered_bytes=300 * KIB, control_burst=10**6) as ring:
        attacker = await ring.attacker(f.PREFACE + settings(()))
        big = encode_fields([(b"x-large", b"v" * 9000)])
        for turn in range(60):
            request = frame(f.HEADERS, f.END_HEADERS, odd(turn), head(odd(turn))[9:].lstrip(b"\x20") + big)
            assert await attacker.send(request)
        await ring.beside(attacker.send(ping(b"the end.")))
        said = b""
        while not said.endswith(b"the end."):
            said += await asyncio.wait_for(attacker.reader.read(MIB), 10)
        refused = sum(a.number == ErrorCode.REFUSED_STREAM for a in ring.peer.parse(said) if a.kind == f.RST_STREAM)
        assert 25 < refused < 35
        assert ring.accepted == 60 - refused
        assert ring.peak_bytes <= 2 * 300 * KIB
        assert not ring.server.faults


@BOTH
@pytest.mark.parametrize(
    "overflow",
    [window_update(0, 2**31 - 1), window_update(1, 2**30) + settings(((f.INITIAL_WINDOW_SIZE, 2**31 - 1),))],
    ids=["of the connection", "by SETTINGS"],
)
async def test_window_overflow(opened: Open, overflow: bytes) -> None:
    async with opened() as ring:
        attacker = await ring.attacker(GREETING + head(1) + overflow)
        await ring.beside(attacker.closed())
        assert ring.server.faults == {ErrorCode.FLOW_CONTROL_ERROR: 1}


@BOTH
async def test_zero_window_stall(opened: Open) -> None:  # CVE-2019-9511, 9517: ask for much, take nothing
    async with opened(buffered_bytes=MIB, stall_seconds=0.4) as ring:
        greedy = GREETING + settings(((f.INITIAL_WINDOW_SIZE, 0),))
        attacker = await ring.attacker(greedy)
        for turn in range(40):
            assert await attacker.send(ask(odd(turn), 100_000))
        await ring.until(lambda: ring.accepted == 40)
        await ring.until(lambda: not ring.server.calls)
        assert 0 < ring.peak_bytes <= MIB + 40 * 2 * KIB
        assert not ring.server.faults, "the streams are cut, the connection may go on"
        assert await attacker.send(window_update(0, 1))


@BOTH
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize(("limit", "answers"), [(8 * MIB, 200), (64 * MIB, 40)], ids=["too much", "for too long"])
async def test_a_reader_that_leaves_everything_in_the_socket(  # CVE-2019-9517
    opened: Open, limit: int, answers: int, at_once: bool
) -> None:
    """However the answers come together, in many writes or in one, and whatever hides what is stuck in the socket."""
    async with opened(buffered_bytes=limit, stall_seconds=0.4) as ring:
        attacker = await ring.attacker(GREETING + settings(((f.INITIAL_WINDOW_SIZE, 2**30),)) + window_update(0, 2**30))
        attacker.writer.transport.pause_reading()
        asked = [ask(odd(turn), 500_000) for turn in range(answers)]
        for data in [b"".join(asked)] if at_once else asked:
            attacker.writer.write(data)
        await ring.until(lambda: ring.server.connections == 1)
        assert ring.peak_bytes <= limit + MIB
        assert ring.server.calls == 0


@BOTH
async def test_slow_preface(opened: Open) -> None:
    async with opened(preface_seconds=0.2) as ring:
        slow = [await ring.attacker(f.PREFACE[:size]) for size in (0, 1, 10, 24)]
        await ring.beside(asyncio.gather(*(attacker.closed() for attacker in slow)))
        assert ring.server.faults == {ErrorCode.SETTINGS_TIMEOUT: 4}


@pytest.mark.parametrize(
    "last_words",
    [b"", head(1), head(1)[:20], frame(f.HEADERS, 0, 1, b"\x20"), frame(f.DATA, 0, 1, b"x")[:4]],
    ids=["nothing", "a request", "half a frame", "half a header block", "half a frame header"],
)
async def test_half_open_connections(opened: Open, last_words: bytes) -> None:
    """A peer that has gone without a word answers no PING."""
    async with opened(keepalive_seconds=0.2) as ring:
        attacker = await ring.attacker(GREETING + last_words)
        said = await ring.beside(attacker.closed())
        assert f.PING in [a.kind for a in said]
        assert ring.cancelled == ring.accepted


@pytest.mark.parametrize(
    ("abuse", "code"),
    [
        (head(2), ErrorCode.PROTOCOL_ERROR),
        (head(0), ErrorCode.PROTOCOL_ERROR),
        (head(5) + head(3), ErrorCode.PROTOCOL_ERROR),
        (head(2**31 - 1) + head(1), ErrorCode.PROTOCOL_ERROR),
        (head(1) + rst_stream(1, 8) + head(1), ErrorCode.STREAM_CLOSED),
        (frame(f.DATA, 0, 7, b"idle"), ErrorCode.PROTOCOL_ERROR),
    ],
    ids=["even", "zero", "falling", "after the last", "used twice", "idle"],
)
async def test_stream_id_abuse(opened: Open, abuse: bytes, code: ErrorCode) -> None:
    async with opened() as ring:
        attacker = await ring.attacker(GREETING + abuse)
        await ring.beside(attacker.closed())
        assert ring.server.faults == {code: 1}


async def test_giant_messages_trickled(opened: Open) -> None:
    """What is kept is what was sent, not what was promised; when all connections hold too much the fullest is cut."""
    async with opened(server_buffered_bytes=4 * MIB, message_bytes=30 * MIB, buffered_bytes=64 * MIB) as ring:
        promise = GREETING + head(1) + frame(f.DATA, 0, 1, PREFIX.pack(0, 30 * MIB))
        crowd = [await ring.attacker(promise) for _ in range(8)]
        await ring.beside(asyncio.sleep(0))
        assert ring.server.buffered_bytes < 64 * KIB

        async def trickle() -> None:
            for _ in range(60):
                for attacker in crowd:
                    await attacker.send(frame(f.DATA, 0, 1, bytes(16 * KIB)))
                await asyncio.sleep(0)

        await ring.beside(trickle())
        assert 1 <= ring.server.cut_for_memory < 8
        assert ring.peak_bytes <= 4 * MIB


async def test_a_giant_message_byte_by_byte_is_charged_for_its_pieces(opened: Open) -> None:
    async with opened(buffered_bytes=128 * KIB, message_bytes=30 * MIB) as ring:
        attacker = await ring.attacker(GREETING + head(1) + frame(f.DATA, 0, 1, PREFIX.pack(0, 30 * MIB)))
        byte = frame(f.DATA, 0, 1, b"x")

        async def trickle() -> None:
            while not ring.cancelled:
                assert await attacker.send(byte * 100)
                await asyncio.sleep(0)

        await ring.beside(trickle())
        assert ring.peak_bytes <= 2 * 128 * KIB


async def test_too_many_connections(opened: Open) -> None:
    async with opened(connections=5) as ring:
        crowd = [await ring.attacker() for _ in range(12)]
        over = await ring.beside(asyncio.gather(*(attacker.closed() for attacker in crowd[4:])))
        assert all(said[-1].payload[7] == CALM for said in over if said)
        assert ring.server.faults == {CALM: 8}
        assert ring.server.connections == 5
