"""Reads an answer as it passes by: token usage, errors in mid-stream, how many pieces of content came."""

from __future__ import annotations

import re

from signalbox.payloads.reports import UsageReport
from signalbox.payloads.sse import EventBuffer, payloads
from signalbox.payloads.usage import Usage

MAX_JSON_BYTES = 4 * 1024 * 1024
"""A JSON answer is kept up to this size; of a longer one only a tail, where servers write the usage."""

_TAIL_BYTES = 256 * 1024

# A field of a delta with text in it: OpenAI's content, text, reasoning and tool arguments, the Responses API's delta,
# Anthropic's text, thinking and partial_json.
_CONTENT = re.compile(
    rb'"(?:content|text|delta|arguments|partial_json|thinking|reasoning|reasoning_content)"\s*+:\s*+"[^"]'
)


class ResponseReader:
    """Reads one answer, whole or streamed, in chunks cut anywhere; it never raises, whatever the bytes.

    ``content_type`` is the answer's header: event streams and JSON are read, anything else passes unread.
    """

    __slots__ = ("_events", "_json", "_report", "_tokens_seen", "_truncated")

    def __init__(self, content_type: str) -> None:
        kind = content_type.lower()
        streamed = "text/event-stream" in kind
        self._events = EventBuffer() if streamed else None
        self._json = bytearray() if not streamed and ("json" in kind or not kind) else None
        self._truncated = False
        self._report = UsageReport()
        self._tokens_seen = 0

    @property
    def error(self) -> bool:
        """An ``error`` object was seen: in a stream it follows a status of 200. JSON is judged by `finish`."""
        return self._report.error

    @property
    def tokens_seen(self) -> int:
        """Events with content so far: about the tokens of a streamed answer; 0 for an answer in one piece."""
        return self._tokens_seen

    @property
    def first_content_seen(self) -> bool:
        """A streamed answer has begun to carry content: role announcements and keep-alives do not count."""
        return self._tokens_seen > 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._events is not None:
            block = self._events.feed(chunk)
            if block:
                self._read_events(block)
        elif self._json is not None:
            self._json += chunk
            if len(self._json) > MAX_JSON_BYTES:
                del self._json[:-_TAIL_BYTES]
                self._truncated = True

    def finish(self) -> Usage | None:
        """End the answer, complete or cut off; return its usage, ``None`` when the server reported none."""
        if self._events is not None:
            self._read_events(self._events.finish())
        elif self._json:
            text = bytes(self._json)
            self._json.clear()
            if self._truncated or not self._report.read(text):
                self._report.read_tail(text)
        return self._report.usage()

    def _read_events(self, block: bytes) -> None:
        # Most blocks are one delta of a few hundred bytes: two searches and one regular expression are all it costs.
        if block.find(b"\n\n", 0, -2) < 0:
            if _CONTENT.search(block) is not None:
                self._tokens_seen += 1
        else:
            for event in block.split(b"\n\n"):
                if _CONTENT.search(event) is not None:
                    self._tokens_seen += 1
        if b'"usage"' in block or b'"error"' in block:
            for payload in payloads(block):
                if b'"usage"' in payload or b'"error"' in payload:
                    self._report.read(payload)
