"""Hears of answers beside the request's own exchange: Envoy's access log over gRPC, and ext_proc in observability mode.

It reads token usage as a picker would and answers nothing; both trials of :mod:`bench.streams` use it.
Usage: ``python -m bench.servers.observer PORT``; a second argument is taken for the sake of the other servers' callers.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage

from bench.servers.conversation import PROCESS
from signalbox.extproc.decoding import RESPONSE_BODY, RESPONSE_HEADERS, find_body, find_headers
from signalbox.extproc.headers import READ_IN_ANSWERS
from signalbox.payloads import ResponseReader
from signalbox.wire import Call, GrpcServer

ACCESS_LOG = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
NAMESPACE = "signalbox.usage"
"""The dynamic metadata in which Envoy's own filters leave the usage they read."""


class Log:
    """Reads each entry's status, times, sizes and usage."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def message(self, data: bytes) -> None:
        """One batch."""
        for entry in StreamAccessLogsMessage.FromString(data).http_logs.log_entry:
            common, response = entry.common_properties, entry.response
            usage = common.metadata.filter_metadata
            tokens = usage[NAMESPACE].fields["completion_tokens"].number_value if NAMESPACE in usage else 0
            _SEEN.append(
                (
                    entry.request.request_id,
                    response.response_code.value,
                    response.response_body_bytes,
                    common.time_to_last_downstream_tx_byte.nanos,
                    tokens,
                )
            )
        _SEEN.clear()

    def half_closed(self) -> None:
        """Envoy leaves."""
        self._call.finish()

    def cancelled(self) -> None:
        """Nothing is kept."""


class Answers:
    """Reads one answer as it passes by."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._reader: ResponseReader | None = None

    def message(self, data: bytes) -> None:
        """The headers or a piece of the body."""
        if data[0] == RESPONSE_BODY and (piece := find_body(data)) is not None:
            if self._reader is not None:
                self._reader.feed(data[piece[0] : piece[1]])
                if piece[3]:
                    self._end()
        elif data[0] == RESPONSE_HEADERS and (found := find_headers(data, READ_IN_ANSWERS)) is not None:
            self._reader = ResponseReader(found[0].get(b"content-type", b"").decode("latin-1"))

    def half_closed(self) -> None:
        """The answer is over."""
        self._end()
        self._call.finish()

    def cancelled(self) -> None:
        """So is an answer that broke off."""
        self._end()

    def _end(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.finish()


_SEEN: list[tuple[str, int, int, int, float]] = []


async def serve(port: int) -> None:
    """Serve until killed."""
    server = GrpcServer({ACCESS_LOG: Log, PROCESS: Answers})
    await server.start("127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
