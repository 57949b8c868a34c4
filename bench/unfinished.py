"""What a request costs in memory while it is not finished: a client that stops half-way, many times at once.

Resident memory of a picker before and after ``REQUESTS`` of a kind, on one connection; a PING behind them comes back
when all have been handled.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import asdict, dataclass
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HttpBody,
    HttpHeaders,
    ProcessingRequest,
    ProtocolConfiguration,
)
from rich.table import Table

from bench import report
from bench.attacker import FIRST_HEAD, GREETING
from bench.exchange import HEAD
from bench.load import completion_request
from bench.rig import Rig
from signalbox.wire.frames import DATA, END_HEADERS, HEADERS, frame, ping
from signalbox.wire.messages import PREFIX

REQUESTS = 2_000
_WARM = 200
_SIZE = 10_000
_PIECES = 50
_OPAQUE = b"finished"
_FRAME = 16_384
KINDS = {
    "headers": "headers, and none of the body",
    "half": f"half of a body of {_SIZE // 1000} KB, in one message",
    "pieces": f"the same half in {_PIECES} messages",
    "message": f"half of a message of {_SIZE // 1000} KB",
    "answer": f"a body of {_SIZE // 1000} KB, routed, and none of the answer",
}


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes of a picker for one unfinished request."""

    kind: str
    body_bytes: int
    """What has to be kept of the body."""
    resident_bytes: float
    """Resident memory that these requests took."""
    left_bytes: float
    """Of that, what the process still has when the client is gone: room for the next ones."""
    again_bytes: float
    """The same as ``resident_bytes``, when another client has done all that once more."""


def measure_unfinished(rig: Rig, requests: int = REQUESTS) -> list[Kept]:
    """Let a picker of its own keep ``requests`` of each kind. The model servers have to be there already."""
    return [_measure(rig, kind, requests) for kind in KINDS]


def _measure(rig: Rig, kind: str, requests: int) -> Kept:
    process, address = rig.start_picker(rig.endpoints, f"unfinished-{kind}")
    try:
        client = _Client(address)
        _send(client, kind, 3, _WARM)
        before = process.resident_bytes()
        _send(client, kind, 3 + 2 * _WARM, requests)
        after = process.resident_bytes()
        client.close()
        client = _Client(address)
        client.wait()
        left = process.resident_bytes()
        _send(client, kind, 3, requests + _WARM)
        again = process.resident_bytes()
        client.close()
    finally:
        process.stop()
    kept = 0 if kind in ("headers", "answer") else _SIZE // 2
    return Kept(kind, kept, *((bytes_ - before) / requests for bytes_ in (after, left, again)))


def _send(client: _Client, kind: str, first: int, requests: int) -> None:
    messages = _messages(kind)
    for stream in range(first, first + 2 * requests, 2):
        parts = [message[at : at + _FRAME] for message in messages for at in range(0, len(message), _FRAME)]
        client.send(
            frame(HEADERS, END_HEADERS, stream, HEAD) + b"".join(frame(DATA, 0, stream, part) for part in parts)
        )
    client.wait()


def _messages(kind: str) -> list[bytes]:
    """What is sent on a stream, each with its gRPC prefix; of the last one perhaps only the beginning."""
    mode = ProcessingMode.FULL_DUPLEX_STREAMED
    entries = [HeaderValue(key=":path", raw_value=b"/v1/completions"), HeaderValue(key=":method", raw_value=b"POST")]
    said = [
        ProcessingRequest(
            request_headers=HttpHeaders(headers=HeaderMap(headers=entries)),
            protocol_config=ProtocolConfiguration(request_body_mode=mode, response_body_mode=mode),
        )
    ]
    body = completion_request(_SIZE)
    half = body[: _SIZE // 2]
    if kind == "half":
        said += [ProcessingRequest(request_body=HttpBody(body=half))]
    elif kind == "pieces":
        size = len(half) // _PIECES
        said += [
            ProcessingRequest(request_body=HttpBody(body=half[at : at + size])) for at in range(0, len(half), size)
        ]
    elif kind in ("message", "answer"):
        said += [ProcessingRequest(request_body=HttpBody(body=body, end_of_stream=True))]
    written = [message.SerializeToString() for message in said]
    framed = [PREFIX.pack(0, len(message)) + message for message in written]
    if kind == "message":
        framed[-1] = framed[-1][: _SIZE // 2]
    return framed


class _Client:
    """A connection whose answers are read and dropped, as long as it stands."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._peer = socket.create_connection((host, int(port)))
        self._echoed = threading.Semaphore(0)
        threading.Thread(target=self._drop, daemon=True).start()
        self.send(GREETING + frame(HEADERS, END_HEADERS, 1, FIRST_HEAD))

    def send(self, data: bytes) -> None:
        self._peer.sendall(data)

    def wait(self) -> None:
        """Return when everything sent so far has been handled. Raises `TimeoutError` after half a minute."""
        self.send(ping(_OPAQUE))
        if not self._echoed.acquire(timeout=30):
            raise TimeoutError("the picker has not handled the unfinished requests after 30 s, or gave them up")

    def close(self) -> None:
        self._peer.shutdown(socket.SHUT_RDWR)
        self._peer.close()

    def _drop(self) -> None:
        echo, seen = ping(_OPAQUE, ack=True), b""
        with contextlib.suppress(OSError):
            while read := self._peer.recv(256 * 1024):
                seen = seen[1 - len(echo) :] + read
                for _ in range(seen.count(echo)):
                    self._echoed.release()


COLUMNS = ("what has come of a request", "of the body, kept", "resident", "left, client gone", "resident, once more")


def rows(kept: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return a table's rows, from `Kept` as plain data."""
    names = ("body_bytes", "resident_bytes", "left_bytes", "again_bytes")
    return [(KINDS[one["kind"]], *(f"{one[name] / 1000:.1f} KB" for name in names)) for one in kept]


def as_json(kept: list[Kept]) -> list[dict[str, Any]]:
    """Plain numbers."""
    return [
        {name: round(value) if isinstance(value, float) else value for name, value in asdict(one).items()}
        for one in kept
    ]


def table(kept: list[dict[str, Any]]) -> Table:
    """Return the table for the terminal."""
    return report.plain_table(f"memory of one unfinished request, of {REQUESTS:,} at once", COLUMNS, rows(kept))
