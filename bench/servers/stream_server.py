"""A model server that streams, and one that is only scraped: as many addresses as asked for, in one process.

Any POST is answered with 50 chunks of server-sent events, 5 ms apart, then the usage; any GET with a metrics page.
Usage: ``python -m bench.servers.stream_server PORT ADDRESS,ADDRESS...``.
"""

from __future__ import annotations

import asyncio
import re
import sys

import uvloop

from bench.pages import METRICS_PAGE, SSE_USAGE, sse_chunk

CHUNKS = 50
INTERVAL = 0.005
"""Seconds between two chunks: short enough for 10,000 chunks a second over 50 streams, long enough not to be joined."""

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: %d\r\n\r\n%b" % (
    len(METRICS_PAGE),
    METRICS_PAGE.encode(),
)


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_CHUNK = _chunked(sse_chunk())
_END = _chunked(SSE_USAGE) + b"0\r\n\r\n"


class _Protocol(asyncio.Protocol):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own kind of Transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        if self._received.startswith(b"GET"):
            self._received = b""
            self._transport.write(_PAGE)
            return
        found = _LENGTH.search(self._received, 0, end)
        whole = len(self._received) >= end + 4 + int(found[1]) if found else self._received.endswith(b"0\r\n\r\n")
        if whole:
            self._received = b""
            self._transport.write(_HEAD)
            self._next(CHUNKS)

    def _next(self, left: int) -> None:
        if self._transport.is_closing():
            return
        if left:
            self._transport.write(_CHUNK)
            self._loop.call_later(INTERVAL, self._next, left - 1)
        else:
            self._transport.write(_END)


async def serve(port: int, addresses: list[str]) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    for address in addresses:
        await loop.create_server(lambda: _Protocol(loop), address, port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2].split(",")))
