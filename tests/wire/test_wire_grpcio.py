"""grpcio as the client: an independent implementation of everything above the socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from signalbox.wire import Call, GrpcServer, HealthService, Limits, Receiver, ServingStatus
from signalbox.wire.health import CHECK, WATCH

MIB = 1 << 20


class Echo:
    """``Echo`` sends messages back as they come; ``Last`` sends only the last, when the client has finished."""

    def __init__(self, call: Call, cancelled: asyncio.Event) -> None:
        self.call = call
        self._cancelled = cancelled
        self._last = b""

    def message(self, data: bytes) -> None:
        self._last = data
        if self.call.method == "/test.Echo/Echo":
            self.call.send(data)

    def half_closed(self) -> None:
        if self.call.method == "/test.Echo/Last":
            self.call.send(self._last)
        elif self.call.method == "/test.Echo/Never":
            return
        self.call.finish(0)

    def cancelled(self) -> None:
        self._cancelled.set()


@pytest.fixture
def cancelled() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def statuses() -> dict[str, ServingStatus]:
    return {"": ServingStatus.SERVING}


@pytest.fixture
def health(statuses: dict[str, ServingStatus]) -> HealthService:
    return HealthService(lambda service: statuses.get(service, ServingStatus.SERVICE_UNKNOWN))


@pytest.fixture
async def server(cancelled: asyncio.Event, health: HealthService) -> AsyncIterator[GrpcServer]:
    def accept(call: Call) -> Receiver:
        return Echo(call, cancelled)

    routes = {f"/test.Echo/{name}": accept for name in ("Echo", "Last", "Never")}
    async with GrpcServer({**routes, **health.routes()}, Limits(message_bytes=36 * MIB)) as server:
        await server.start("127.0.0.1", 0)
        yield server


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        yield channel


async def test_unary(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/test.Echo/Last")(b"hello", metadata=(("x-trace", "1"),))
    assert await call == b"hello"
    assert await call.code() == grpc.StatusCode.OK


async def test_many_at_once(channel: grpc.aio.Channel) -> None:
    echo = channel.unary_unary("/test.Echo/Last")
    sent = [f"message {n}".encode() * (n % 50) for n in range(200)]
    assert await asyncio.gather(*(echo(message) for message in sent)) == sent


async def test_bidirectional_in_step(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream("/test.Echo/Echo")()
    for message in (b"one", b"", b"three" * 1000):
        await call.write(message)
        assert await call.read() == message
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK


async def test_a_32_mib_message_both_ways(channel: grpc.aio.Channel) -> None:
    body = bytes(range(256)) * (32 * MIB // 256)
    assert await channel.unary_unary("/test.Echo/Last")(body) == body


async def test_streamed_body_in_many_messages(channel: grpc.aio.Channel) -> None:
    pieces = [bytes((n,)) * 62_000 for n in range(100)]

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    assert [piece async for piece in channel.stream_stream("/test.Echo/Echo")(body())] == pieces


async def refused(call: grpc.aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_a_message_over_the_limit(channel: grpc.aio.Channel, cancelled: asyncio.Event) -> None:
    code, details = await refused(channel.unary_unary("/test.Echo/Last")(bytes(36 * MIB + 1)))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert details == f"message of {36 * MIB + 1} bytes, limit {36 * MIB}"
    assert cancelled.is_set()


async def test_a_compressed_message(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary("/test.Echo/Last")(bytes(10_000), compression=grpc.Compression.Gzip)
    assert (await refused(call))[0] == grpc.StatusCode.UNIMPLEMENTED


async def test_an_unknown_method(channel: grpc.aio.Channel) -> None:
    expected = (grpc.StatusCode.UNIMPLEMENTED, "unknown method /test.Echo/Nope")
    assert await refused(channel.unary_unary("/test.Echo/Nope")(b"")) == expected


async def test_cancellation_reaches_the_service(channel: grpc.aio.Channel, cancelled: asyncio.Event) -> None:
    call = channel.stream_stream("/test.Echo/Echo")()
    await call.write(b"x")
    assert await call.read() == b"x"
    call.cancel()
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_lost_channel_reaches_the_service(channel: grpc.aio.Channel, cancelled: asyncio.Event) -> None:
    call = channel.stream_stream("/test.Echo/Echo")()
    await call.write(b"x")
    assert await call.read() == b"x"
    await channel.close()
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_deadline_ends_the_call_on_both_sides(channel: grpc.aio.Channel, cancelled: asyncio.Event) -> None:
    code, _ = await refused(channel.unary_unary("/test.Echo/Never")(b"", timeout=0.1))
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_client_that_reads_slowly_gets_everything(channel: grpc.aio.Channel, server: GrpcServer) -> None:
    call = channel.stream_stream("/test.Echo/Echo")()
    sent = [bytes((n,)) * MIB for n in range(16)]
    for piece in sent:
        await call.write(piece)
    await call.done_writing()
    other = await channel.unary_unary("/test.Echo/Last")(b"not held up")
    assert other == b"not held up"
    assert [piece async for piece in call] == sent


async def test_draining_moves_new_calls_elsewhere_and_lets_old_ones_finish(
    channel: grpc.aio.Channel, server: GrpcServer
) -> None:
    call = channel.stream_stream("/test.Echo/Echo")()
    await call.write(b"before")
    assert await call.read() == b"before"
    draining = asyncio.create_task(server.drain(timeout=5))
    await call.write(b"meanwhile")
    assert await call.read() == b"meanwhile"
    await call.done_writing()
    assert await call.code() == grpc.StatusCode.OK
    await draining


async def test_health(channel: grpc.aio.Channel, health: HealthService, statuses: dict[str, ServingStatus]) -> None:
    assert await channel.unary_unary(CHECK)(b"") == b"\x08\x01"
    assert (await refused(channel.unary_unary(CHECK)(b"\x0a\x01x")))[0] == grpc.StatusCode.NOT_FOUND
    watch = channel.unary_stream(WATCH)(b"")
    assert await watch.read() == b"\x08\x01"
    statuses[""] = ServingStatus.NOT_SERVING
    health.notify()
    assert await watch.read() == b"\x08\x02"
    watch.cancel()
