"""A small load generator for machines without wrk: so many connections, each with one request under way.

Usage: ``python -m bench.closed_loop URL CONNECTIONS SECONDS BODY_FILE``; prints the same JSON line as ``wrk.lua``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import uvloop


class Tally:
    """What all connections saw; latencies in seconds."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failed = 0


class Connection(asyncio.Protocol):
    """Sends ``request`` again as soon as an answer is complete."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._received = bytearray()
        self._sent_at = 0.0
        self._body_end: int | None = None
        self._head_size = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's transport is a Transport in all but name
        self._send()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._head_size:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._read_head(bytes(received[:end]).lower(), end + 4)
        if self._body_end is None:
            if not received.endswith(b"\r\n0\r\n\r\n"):
                return
        elif len(received) < self._body_end:
            return
        if not received.startswith(b"HTTP/1.1 200"):
            self._tally.failed += 1
        self._tally.latencies.append(time.perf_counter() - self._sent_at)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._tally.failed += 1

    def close(self) -> None:
        """Stop."""
        if self._transport is not None:
            self._transport.close()

    def _send(self) -> None:
        self._received.clear()
        self._head_size = 0
        self._body_end = None
        self._sent_at = time.perf_counter()
        assert self._transport is not None
        self._transport.write(self._request)

    def _read_head(self, head: bytes, size: int) -> None:
        self._head_size = size
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                self._body_end = size + int(line.partition(b":")[2])


async def run(url: str, connections: int, seconds: float, body: bytes) -> dict[str, float]:
    """Load ``url`` and return requests, seconds, p50_us, p99_us and failed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    head = (
        f"POST {parts.path}?{parts.query} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    tally = Tally()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    opened = [
        (await loop.create_connection(lambda: Connection(head.encode() + body, tally), host, port))[1]
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    latencies = sorted(tally.latencies)
    elapsed = time.perf_counter() - started
    for connection in opened:
        connection.close()
    count = len(latencies)
    return {
        "requests": count,
        "seconds": round(elapsed, 6),
        "p50_us": round(latencies[count // 2] * 1e6) if count else 0,
        "p99_us": round(latencies[min(count - 1, count * 99 // 100)] * 1e6) if count else 0,
        "failed": tally.failed,
    }


if __name__ == "__main__":
    target, number, duration, file = sys.argv[1:]
    print(json.dumps(uvloop.run(run(target, int(number), float(duration), Path(file).read_bytes()))))
