"""Reads an answer as it passes by: token usage, and errors in mid-stream."""

from __future__ import annotations

from typing import Final

from signalbox.payloads.reports import UsageReport
from signalbox.payloads.sse import EventBuffer, payloads
from signalbox.payloads.usage import Usage

TAIL_BYTES: Final = 64 * 1024
"""A JSON answer up to this size is read whole. Of a longer one only this much of its end is kept, where servers write
the usage, and up to as much again before it is cut."""

_USAGE: Final = b'"usage"'
_ERROR: Final = b'"error"'


class ResponseReader:
    """Reads one answer, whole or streamed, in chunks cut anywhere; it never raises, whatever the bytes.

    ``content_type`` is the answer's header: event streams and JSON are read, anything else passes unread. Of a stream
    only the events that name a usage or an error are decoded; two searches are all the others cost.
    """

    __slots__ = ("_events", "_json", "_report", "_truncated")

    def __init__(self, content_type: str) -> None:
        kind = content_type.lower()
        streamed = "text/event-stream" in kind
        self._events = EventBuffer() if streamed else None
        self._json: bytes | bytearray | None = b"" if not streamed and ("json" in kind or not kind) else None
        self._truncated = False
        self._report = UsageReport()

    @property
    def held(self) -> int:
        """Bytes kept until more comes: the end of a JSON answer, or an event that is not complete."""
        if self._events is not None:
            return self._events.held
        return len(self._json) if self._json else 0

    def forget(self) -> None:
        """Keep nothing, now or later: what has not been read yet stays unread."""
        self._events = self._json = None

    @property
    def error(self) -> bool:
        """An ``error`` object was seen: in a stream it follows a status of 200. JSON is judged by `finish`."""
        return self._report.error

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._events is not None:
            block = self._events.feed(chunk)
            # `in` asks first whether it is looking for a number, and makes and drops an error to learn that it is not.
            if block and (block.find(_USAGE) >= 0 or block.find(_ERROR) >= 0):
                self._read_events(block)
        elif self._json is not None:
            if not self._json:
                self._json = chunk  # most answers come in one piece
            elif isinstance(self._json, bytearray):
                self._json += chunk
            else:
                self._json = bytearray(self._json) + chunk
            if len(self._json) > 2 * TAIL_BYTES:
                self._json = bytearray(memoryview(self._json)[-TAIL_BYTES:])
                self._truncated = True

    def finish(self) -> Usage | None:
        """End the answer, complete or cut off; return its usage, ``None`` when the server reported none."""
        if self._events is not None:
            self._read_events(self._events.finish())
        elif self._json:
            text, self._json = bytes(self._json), b""
            if self._truncated or not self._report.read(text):
                self._report.read_tail(text)
        return self._report.usage()

    def _read_events(self, block: bytes) -> None:
        for payload in payloads(block):
            worth_it = _ERROR in payload or (_USAGE in payload and not _only_null(payload))
            if worth_it and not self._report.read(payload):
                self._report.read_tail(payload)  # several objects in one event: a server that leaves out blank lines


def _only_null(payload: bytes) -> bool:
    """Whether every usage in an event is null: clients who ask for usage get one with each event from some servers."""
    return payload.count(_USAGE) == payload.count(b'"usage":null') + payload.count(b'"usage": null')
