"""Each limit of ``signalbox epp``, from the flag to what a client sees."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hpack
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.cli.dialogue import PROCESS, body, opening, stream
from tests.cli.pickers import Running, channel_to, running_picker, write_source

from signalbox.wire import ErrorCode
from signalbox.wire.frames import (
    DATA,
    END_HEADERS,
    FRAME_HEADER,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ACK,
    frame,
    ping,
    settings,
)
from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.messages import PREFIX

PLAIN = "--secure-serving=false"
MIB = 1 << 20
MAX_CONCURRENT_STREAMS = 3
MAX_HEADER_LIST_SIZE = 6


@asynccontextmanager
async def limited(tmp_path: Path, *flags: str) -> AsyncIterator[Running]:
    async with running_picker(write_source(tmp_path / "source"), PLAIN, *flags) as picker:
        yield picker


class Peer:
    """A client made of bare frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def frame(self) -> tuple[int, int, bytes]:
        """The next frame's type, stream and payload."""
        async with asyncio.timeout(10):
            high, low, kind, _, stream = FRAME_HEADER.unpack(await self.reader.readexactly(FRAME_HEADER.size))
            return kind, stream, await self.reader.readexactly(high << 8 | low)

    async def settings(self) -> dict[int, int]:
        """Greet; return what the server announces."""
        self.writer.write(PREFACE + settings(()) + SETTINGS_ACK)
        kind, _, payload = await self.frame()
        assert kind == SETTINGS
        pairs = [payload[at : at + 6] for at in range(0, len(payload), 6)]
        return {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}

    def call(self, stream: int, *extra: tuple[bytes, bytes]) -> None:
        """Send the headers of a call."""
        fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", PROCESS.encode()), (b":authority", b"epp"))
        block = b"\x20" + encode_fields((*fields, (b"content-type", b"application/grpc"), *extra))
        self.writer.write(frame(HEADERS, END_HEADERS, stream, block))

    def begin(self, stream: int, size: int) -> None:
        """Send the first ``size`` bytes of a 5 MiB message."""
        self.call(stream)
        data = PREFIX.pack(0, 5 * MIB) + bytes(size - PREFIX.size)
        for at in range(0, len(data), 16_384):
            self.writer.write(frame(DATA, 0, stream, data[at : at + 16_384]))

    async def heard(self) -> None:
        """Wait until the server has handled all that was sent."""
        self.writer.write(ping(b"all read"))
        await self._until(lambda kind, payload: kind == PING and payload == b"all read")

    async def refused(self) -> tuple[int, bytes]:
        """Read up to an answer of headers alone; return its stream and ``grpc-status``."""
        stream, payload = await self._until(lambda kind, payload: kind == HEADERS)
        return stream, dict(hpack.Decoder().decode(payload, raw=True))[b"grpc-status"]

    async def reset(self) -> tuple[int, int]:
        """Read up to RST_STREAM; return its stream and error code."""
        stream, payload = await self._until(lambda kind, payload: kind == RST_STREAM)
        return stream, int.from_bytes(payload, "big")

    async def cut(self) -> None:
        """Read until the server has cut the connection."""
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                await self.reader.read()

    async def told_to_go(self) -> int:
        """Read up to GOAWAY; return its error code."""
        _, payload = await self._until(lambda kind, payload: kind == GOAWAY)
        return int.from_bytes(payload[4:8], "big")

    async def _until(self, wanted: Callable[[int, bytes], bool]) -> tuple[int, bytes]:
        while True:
            kind, stream, payload = await self.frame()
            if wanted(kind, payload):
                return stream, payload


@asynccontextmanager
async def peer(picker: Running) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", picker.picker.grpc_port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


async def answered(picker: Running) -> bool:
    """Whether another connection is served."""
    async with channel_to(picker.address) as channel:
        call = stream(channel)()
        await call.write(opening("NONE", "NONE"))
        return bool((await call.read()).HasField("request_headers"))


async def status_of(call: Any) -> str:
    """The code a call ends with."""
    async with asyncio.timeout(10):
        return str((await call.code()).name)


async def test_max_streams(tmp_path: Path) -> None:
    async with limited(tmp_path, "--max-streams", "2") as picker:
        async with peer(picker) as bare:
            assert (await bare.settings())[MAX_CONCURRENT_STREAMS] == 2
        async with channel_to(picker.address) as channel:
            first, second = stream(channel)(), stream(channel)()
            for call in (first, second):
                await call.write(opening("BUFFERED", "NONE"))
                await call.read()
            third = stream(channel)()
            waiting = asyncio.create_task(third.write(opening("BUFFERED", "NONE")))
            await first.done_writing()  # only this lets the third begin
            async with asyncio.timeout(10):
                await waiting
                assert (await third.read()).HasField("request_headers")
            for call in (second, third):
                call.cancel()


async def test_max_header_bytes(tmp_path: Path) -> None:
    fields = [(b"x-%d" % number, b"y") for number in range(50)]  # 36 bytes each, as RFC 9113 counts them
    async with limited(tmp_path, "--max-header-bytes", "2048") as picker, peer(picker) as bare:
        assert (await bare.settings())[MAX_HEADER_LIST_SIZE] == 2048
        bare.call(1)
        bare.call(3, *fields)
        assert await bare.reset() == (3, ErrorCode.ENHANCE_YOUR_CALM)
        assert await answered(picker)


@pytest.mark.parametrize("mode", ["BUFFERED", "FULL_DUPLEX_STREAMED"])
async def test_body_limit(mode: str, tmp_path: Path) -> None:
    async with limited(tmp_path, "--body-limit", "1") as picker, channel_to(picker.address) as channel:
        call = stream(channel)()
        await call.write(opening(mode, "NONE"))
        if mode == "BUFFERED":
            await call.read()
        await call.write(body(bytes(MIB + 1)))
        answer = await call.read()
        assert answer.immediate_response.status.code == 413
        assert b"larger than the 1048576 bytes" in answer.immediate_response.body
        assert await status_of(call) == "OK"


async def test_a_message_far_over_the_body_limit_is_not_even_read(tmp_path: Path) -> None:
    async with limited(tmp_path, "--body-limit", "1") as picker, channel_to(picker.address) as channel:
        call = stream(channel)()
        await call.write(opening("BUFFERED", "NONE"))
        await call.read()
        writing = asyncio.create_task(call.write(body(bytes(16 * MIB))))  # four times the window of a stream
        answer = await call.read()
        assert answer.immediate_response.status.code == 413
        assert b"larger than the 1048576 bytes" in answer.immediate_response.body
        assert await status_of(call) == "OK"
        await asyncio.wait([writing])


async def test_an_answer_over_the_message_limit_ends_the_exchange(tmp_path: Path) -> None:
    async with limited(tmp_path, "--body-limit", "1") as picker, channel_to(picker.address) as channel:
        call = stream(channel)()
        await call.write(opening("BUFFERED", "BUFFERED"))
        await call.read()
        await call.write(body(b'{"model": "m", "prompt": "x"}'))
        await call.read()
        await call.write(ext_proc.ProcessingRequest(response_body=ext_proc.HttpBody(body=bytes(6 * MIB))))
        assert await status_of(call) == "RESOURCE_EXHAUSTED"
        await picker.settled()


async def test_bodies_that_are_not_complete_count_towards_the_total(tmp_path: Path) -> None:
    flags = ("--body-limit", "1", "--max-buffered-mib", "5", "--max-total-buffered-mib", "5")
    async with limited(tmp_path, *flags) as picker, channel_to(picker.address) as channel:
        calls = [stream(channel)() for _ in range(7)]
        for number, call in enumerate(calls):
            await call.write(opening("FULL_DUPLEX_STREAMED", "NONE"))
            await call.write(body(bytes(MIB - 1 - number), end=False))
        answer = await calls[0].read()  # the longest
        assert answer.immediate_response.status.code == 503
        assert b"--max-total-buffered-mib" in answer.immediate_response.body
        assert await status_of(calls[0]) == "OK"
        await calls[-1].write(body(b'{"model": "m", "prompt": "x"}'))
        assert (await calls[-1].read()).immediate_response.status.code == 413
        for call in calls[2:-1]:
            call.cancel()


async def test_message_timeout(tmp_path: Path) -> None:
    async with limited(tmp_path, "--message-timeout", "0.05") as picker, peer(picker) as bare:
        await bare.settings()
        bare.begin(stream=1, size=MIB)
        assert await bare.refused() == (1, b"4")  # DEADLINE_EXCEEDED
        assert await answered(picker)


async def test_max_buffered_mib(tmp_path: Path) -> None:
    async with limited(tmp_path, "--body-limit", "1", "--max-buffered-mib", "5") as picker, peer(picker) as bare:
        await bare.settings()
        bare.begin(stream=1, size=3 * MIB)
        bare.begin(stream=3, size=3 * MIB)
        assert await bare.refused() == (3, b"8")  # RESOURCE_EXHAUSTED
        assert await answered(picker)


async def test_max_total_buffered_mib(tmp_path: Path) -> None:
    flags = ("--body-limit", "1", "--max-buffered-mib", "5", "--max-total-buffered-mib", "5")
    async with limited(tmp_path, *flags) as picker, peer(picker) as larger, peer(picker) as smaller:
        await larger.settings()
        await smaller.settings()
        larger.begin(stream=1, size=3 * MIB)
        await larger.heard()
        smaller.begin(stream=1, size=5 * MIB // 2)
        await larger.cut()
        await smaller.heard()
        assert await answered(picker)


async def test_max_connections(tmp_path: Path) -> None:
    async with limited(tmp_path, "--max-connections", "1") as picker, peer(picker) as first:
        await first.settings()
        async with peer(picker) as second:
            assert await second.told_to_go() == ErrorCode.ENHANCE_YOUR_CALM
            assert await second.reader.read() == b""
        await first.heard()


async def test_idle_timeout(tmp_path: Path) -> None:
    async with limited(tmp_path, "--idle-timeout", "0.05") as picker, peer(picker) as bare:
        await bare.settings()
        assert await bare.told_to_go() == ErrorCode.NO_ERROR


async def test_a_connection_with_a_request_under_way_is_not_idle(tmp_path: Path) -> None:
    async with limited(tmp_path, "--idle-timeout", "0.05") as picker, channel_to(picker.address) as channel:
        call = stream(channel)()
        await call.write(opening("BUFFERED", "NONE"))
        await call.read()
        async with peer(picker) as bare:  # idle for as long, and told so
            await bare.settings()
            await bare.told_to_go()
        await call.write(body(b'{"model": "m", "prompt": "x"}'))
        assert (await call.read()).HasField("request_body")
        call.cancel()
