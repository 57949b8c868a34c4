"""A bare ext_proc server on the ``h2`` library and uvloop.

Usage: ``python -m bench.servers.h2_library PORT IP:PORT,IP:PORT...``. Answers wait for their window where they must.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterator

import h2.events
import uvloop
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes

from bench.servers.conversation import Conversation, in_turn

_HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
_TRAILERS = [(b"grpc-status", b"0")]


class _Stream:
    __slots__ = ("conversation", "queue", "received", "started")

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.received = b""
        self.queue: deque[bytes] = deque()
        self.started = False


class _Protocol(asyncio.Protocol):
    def __init__(self, destinations: Iterator[str]) -> None:
        self._destinations = destinations
        self._streams: dict[int, _Stream] = {}
        # The checks are off, as anybody would have them who wants speed from this library.
        self._h2 = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own kind of Transport
        self._h2.initiate_connection()
        self._h2.update_settings(
            {SettingCodes.MAX_CONCURRENT_STREAMS: 100_000, SettingCodes.INITIAL_WINDOW_SIZE: 4 << 20}
        )
        self._h2.increment_flow_control_window(64 << 20)
        self._transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            match event:
                case h2.events.DataReceived():
                    self._data(event.stream_id, event.data, event.flow_controlled_length)
                case h2.events.RequestReceived():
                    self._streams[event.stream_id] = _Stream(Conversation(self._destinations))
                case h2.events.StreamReset():
                    self._streams.pop(event.stream_id, None)
                case h2.events.WindowUpdated():
                    for stream_id in list(self._streams):
                        self._flush(stream_id)
        self._transport.write(self._h2.data_to_send())

    def _data(self, stream_id: int, data: bytes, size: int) -> None:
        self._h2.acknowledge_received_data(size, stream_id)
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        received = stream.received + data
        start = 0
        while len(received) - start >= 5:
            end = start + 5 + int.from_bytes(received[start + 1 : start + 5], "big")
            if end > len(received):
                break
            for answer in stream.conversation.answers(ProcessingRequest.FromString(received[start + 5 : end])):
                message = answer.SerializeToString()
                stream.queue.append(b"\x00" + len(message).to_bytes(4, "big") + message)
            start = end
        stream.received = received[start:]
        try:
            self._flush(stream_id)
        except StreamClosedError:  # the reset of a client that left is behind this frame in the same read
            self._streams.pop(stream_id, None)

    def _flush(self, stream_id: int) -> None:
        stream = self._streams[stream_id]
        if stream.queue and not stream.started:
            stream.started = True
            self._h2.send_headers(stream_id, _HEAD)
        while stream.queue:
            window = min(self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size)
            if window <= 0:
                return
            head = stream.queue.popleft()
            self._h2.send_data(stream_id, head[:window])
            if len(head) > window:
                stream.queue.appendleft(head[window:])
        if stream.conversation.over:
            self._h2.send_headers(stream_id, _TRAILERS, end_stream=True)
            del self._streams[stream_id]


async def serve(port: int, addresses: list[str]) -> None:
    """Serve until killed."""
    destinations = in_turn(addresses)
    server = await asyncio.get_running_loop().create_server(lambda: _Protocol(destinations), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2].split(",")))
