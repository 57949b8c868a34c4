"""HTTP/2 frames as bytes (RFC 9113 sections 4 and 6): the constants and the writers."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from signalbox.wire.octets import NATIVE, OCTETS

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

DEFAULT_WINDOW: Final = 65_535
DEFAULT_FRAME_SIZE: Final = 16_384
LARGEST_FRAME_SIZE: Final = 2**24 - 1
LARGEST_WINDOW: Final = 2**31 - 1
LARGEST_STREAM_ID: Final = 2**31 - 1

FRAME_HEADER: Final = Struct(">HBBBI")
"""Length (upper 16 bits, lower 8 bits), type, flags, stream id: 9 bytes. Compiled code reads and writes it
byte by byte, see :mod:`signalbox.wire.octets`."""
FRAME_HEADER_BYTES: Final = 9
SETTING: Final = Struct(">HI")
UINT32: Final = Struct(">I")
GOAWAY_FIELDS: Final = Struct(">II")
_RST_STREAM: Final = Struct(">HBBBII")  # `FRAME_HEADER`, then the code


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one whole frame."""
    return frame_header(len(payload), kind, flags, stream_id) + payload


def frame_header(size: int, kind: int, flags: int, stream_id: int) -> bytes:
    """Return the header of a frame with ``size`` bytes of content."""
    if NATIVE:
        return b"%b%b%b%b%b%b%b%b%b" % (
            OCTETS[size >> 16],
            OCTETS[size >> 8 & 0xFF],
            OCTETS[size & 0xFF],
            OCTETS[kind],
            OCTETS[flags],
            OCTETS[stream_id >> 24],
            OCTETS[stream_id >> 16 & 0xFF],
            OCTETS[stream_id >> 8 & 0xFF],
            OCTETS[stream_id & 0xFF],
        )
    return FRAME_HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream_id)


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    """Return a SETTINGS frame holding (identifier, value) pairs."""
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(identifier, value) for identifier, value in values))


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return _RST_STREAM.pack(0, 4, RST_STREAM, 0, stream_id, code)


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, UINT32.pack(increment))


def ping(opaque: bytes, ack: bool = False) -> bytes:
    """Return a PING frame around 8 opaque bytes."""
    return frame(PING, ACK if ack else 0, 0, opaque)


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """Return a GOAWAY frame."""
    return frame(GOAWAY, 0, 0, GOAWAY_FIELDS.pack(last_stream_id, code) + debug)


def header_frames(stream_id: int, block: bytes, end_stream: bool, frame_size: int) -> bytes:
    """Return HEADERS and CONTINUATION frames for a block that is longer than one frame of the peer may be."""
    pieces = [block[start : start + frame_size] for start in range(0, len(block), frame_size)]
    return b"".join(
        (
            frame(HEADERS, END_STREAM if end_stream else 0, stream_id, pieces[0]),
            *(frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]),
            frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1]),
        )
    )
