"""The floor: an ext_proc server that reads HTTP/2 frames and keeps none of the rules.

No limits, no header decoding, no window bookkeeping beyond a huge one: what is left is what any Python server on this
wire must spend. Usage: ``python -m bench.servers.bare_frames PORT IP:PORT,IP:PORT...``.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Iterator

import uvloop
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from bench.servers.conversation import Conversation, in_turn

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _WINDOW = 0, 1, 3, 4, 6, 8
_PREFACE = 24
_OPEN = b"\x88\x00\x0ccontent-type\x10application/grpc"
_CLOSE = b"\x00\x0bgrpc-status\x010"
_FRAME = 16_384


class _Stream:
    __slots__ = ("conversation", "received", "started")

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.received = b""
        self.started = False


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream) + payload


class _Protocol(asyncio.Protocol):
    def __init__(self, destinations: Iterator[str]) -> None:
        self._destinations = destinations
        self._left = b""
        self._skip = _PREFACE
        self._streams: dict[int, _Stream] = {}
        self._read = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own kind of Transport
        settings = struct.pack(">HIHIHI", 1, 0, 3, 100_000, 4, 8 << 20)
        self._transport.write(_frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, struct.pack(">I", 1 << 30)))

    def data_received(self, data: bytes) -> None:
        data = self._left + data if self._left else data
        if self._skip and len(data) >= self._skip:
            data = data[self._skip :]
            self._skip = 0
        out: list[bytes] = []
        offset, size = 0, len(data)
        while not self._skip and size - offset >= 9:
            high, low, kind, flags, stream = struct.unpack_from(">HBBBI", data, offset)
            end = offset + 9 + (high << 8 | low)
            if end > size:
                break
            payload = data[offset + 9 : end]
            offset = end
            if kind == _DATA:
                self._body(stream, payload, out)
            elif kind == _HEADERS:
                self._streams[stream] = _Stream(Conversation(self._destinations))
            elif kind == _RESET:
                self._streams.pop(stream, None)
            elif kind == _SETTINGS and not flags & 1:
                out.append(_frame(_SETTINGS, 1, 0, b""))
            elif kind == _PING and not flags & 1:
                out.append(_frame(_PING, 1, 0, payload))
        self._left = data[offset:]
        if self._read > 1 << 26:
            out.append(_frame(_WINDOW, 0, 0, struct.pack(">I", self._read)))
            self._read = 0
        if out:
            self._transport.write(b"".join(out))

    def _body(self, stream_id: int, payload: bytes, out: list[bytes]) -> None:
        self._read += len(payload)
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        received = stream.received + payload if stream.received else payload
        start = 0
        while len(received) - start >= 5:
            end = start + 5 + int.from_bytes(received[start + 1 : start + 5], "big")
            if end > len(received):
                break
            for answer in stream.conversation.answers(ProcessingRequest.FromString(received[start + 5 : end])):
                if not stream.started:
                    stream.started = True
                    out.append(_frame(_HEADERS, 4, stream_id, _OPEN))
                text = answer.SerializeToString()
                message = b"\x00" + len(text).to_bytes(4, "big") + text
                for at in range(0, len(message), _FRAME):
                    out.append(_frame(_DATA, 0, stream_id, message[at : at + _FRAME]))
            start = end
        stream.received = received[start:]
        if stream.conversation.over:
            out.append(_frame(_HEADERS, 5, stream_id, _CLOSE))
            del self._streams[stream_id]


async def serve(port: int, addresses: list[str]) -> None:
    """Serve until killed."""
    destinations = in_turn(addresses)
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(destinations), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2].split(",")))
