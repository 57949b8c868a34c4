"""Server-sent events, cut out of a byte stream.

Chunks of HTTP do not align with events, so what follows the last blank line waits for the next chunk. Lines may end
in LF, CRLF or CR; an event's ``data:`` lines belong together, joined by LF (WHATWG HTML, section 9.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_EVENT_BYTES = 256 * 1024
"""Of an event that grows longer before it ends only the last quarter is kept: where an event holds a whole answer, its
usage comes last."""

_CR: Final = 0x0D
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class EventBuffer:
    """Turns chunks into blocks of whole events whose lines end in LF."""

    __slots__ = ("_ends_in_cr", "_pending")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._ends_in_cr = False

    @property
    def held(self) -> int:
        """Bytes of the event that is not complete."""
        return len(self._pending)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the stream; return the events they complete, each followed by a blank line."""
        plain = chunk.find(_CR) < 0 and not self._ends_in_cr
        if plain and not self._pending and chunk.endswith(b"\n\n"):
            return chunk  # whole events, as servers write them
        if not plain:
            chunk = self._with_newlines(chunk)
        pending = self._pending
        if not pending:
            cut = chunk.rfind(b"\n\n") + 2
            if cut >= 2:
                if cut == len(chunk):
                    return chunk
                pending += memoryview(chunk)[cut:]
                return chunk[:cut]
            pending += chunk
        else:
            before = len(pending)
            pending += chunk
            cut = pending.rfind(b"\n\n", before - 1) + 2
            if cut >= 2:
                block = bytes(memoryview(pending)[:cut])
                del pending[:cut]
                return block
        if len(pending) > MAX_EVENT_BYTES:
            self._pending = bytearray(b"data:")
            self._pending += memoryview(pending)[-MAX_EVENT_BYTES // 4 :]
        return b""

    def finish(self) -> bytes:
        """Return what is left when the stream ends: an event that no blank line closed."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest

    def _with_newlines(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        second_half = self._ends_in_cr and chunk.startswith(b"\n")  # of a CRLF whose CR was taken for a line end
        self._ends_in_cr = chunk.endswith(b"\r")
        if second_half:
            chunk = chunk[1:]
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def payloads(block: bytes) -> Iterator[bytes]:
    """Yield the data of each event of a block, its ``data:`` lines joined; events without data are left out.

    A byte-order mark may begin a stream (WHATWG HTML, section 9.2.5); before a later block it does no harm.
    """
    for event in block.removeprefix(_BYTE_ORDER_MARK).split(b"\n\n"):
        if event.count(b"data:") == 1 and event.startswith(b"data:") and b"\n" not in event:
            yield event[5:].lstrip(b" ")
            continue
        lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield b"\n".join(lines)
