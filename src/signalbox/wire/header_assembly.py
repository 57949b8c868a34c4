"""A header block that comes in HEADERS and CONTINUATION frames (RFC 9113 sections 4.3 and 6.10)."""

from __future__ import annotations

from signalbox.wire.errors import ConnectionFault, ErrorCode
from signalbox.wire.frames import END_STREAM


class HeaderAssembly:
    """The pieces of one block. Bounded in bytes and in frames, since no flow control bounds it.

    Raises `ConnectionFault` ENHANCE_YOUR_CALM beyond either: a block given up half-way leaves no common HPACK state.
    """

    __slots__ = ("_bytes_left", "_frames_left", "_pieces", "end_stream", "stream_id")

    def __init__(self, stream_id: int, flags: int, piece: bytes, max_bytes: int, max_continuations: int) -> None:
        self.stream_id = stream_id
        self.end_stream = bool(flags & END_STREAM)
        self._pieces: list[bytes] = []
        self._bytes_left = max_bytes
        self._frames_left = max_continuations + 1
        self.add(piece)

    def add(self, piece: bytes) -> None:
        """Add the content of the next frame."""
        self._frames_left -= 1
        self._bytes_left -= len(piece)
        if self._frames_left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block in too many CONTINUATION frames")
        if self._bytes_left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block over the header list limit")
        self._pieces.append(piece)

    @property
    def size(self) -> int:
        """Bytes kept so far."""
        return sum(map(len, self._pieces))

    def whole(self) -> bytes:
        """Return the block."""
        pieces = self._pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
