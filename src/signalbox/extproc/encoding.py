"""ext_proc answers as bytes.

A picker's answers use a dozen fields of ``envoy.service.ext_proc.v3``, most of them the same in every answer. Writing
those few fields directly costs a tenth of building message objects; the tests parse every answer with Envoy's own
generated types and compare. Field numbers are from ``external_processor.proto`` and ``base.proto``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode

DESTINATION: Final = "x-gateway-destination-endpoint"
METADATA_NAMESPACE: Final = "envoy.lb"

MAX_CHUNK: Final = 62_000
"""Bytes in one streamed body answer: some Envoy builds refuse chunks of 64 KiB and more."""

_END_OF_STREAM: Final = b"\x10\x01"  # StreamedBodyResponse.end_of_stream = true
_OVERWRITE: Final = (
    b"\x18\x02"  # HeaderValueOption.append_action = OVERWRITE_IF_EXISTS_OR_ADD; the default would append
)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    size = len(payload)
    if size < 0x80:
        return bytes((number << 3 | 2, size)) + payload
    return bytes((number << 3 | 2,)) + _varint(size) + payload


def set_header(name: str, value: str) -> bytes:
    """One ``HeaderMutation.set_headers`` entry that replaces the header ``name``."""
    header = _field(1, name.encode()) + _field(3, value.encode())
    return _field(1, _field(1, header) + _OVERWRITE)


def _content_length(length: int) -> bytes:
    """``set_header("content-length", ...)``, written out: it is in most answers."""
    digits = b"%d" % length
    size = len(digits)
    return b"\x0a%c\x0a%c\x0a\x0econtent-length\x1a%c%b\x18\x02" % (size + 22, size + 18, size, digits)


def remove_headers(names: Iterable[str]) -> bytes:
    """``HeaderMutation.remove_headers`` entries."""
    return b"".join([_field(2, name.encode()) for name in names])


class _Written:
    """What has been written of one destination, to be written again: answers to it differ in little else."""

    __slots__ = ("answers", "entry", "metadata", "mutations")

    def __init__(self, destination: str) -> None:
        value = _field(3, destination.encode())  # Value.string_value
        inner = _field(1, DESTINATION.encode()) + _field(2, value)  # Struct.fields entry
        struct = _field(5, _field(1, inner))  # Value.struct_value
        outer = _field(1, METADATA_NAMESPACE.encode()) + _field(2, struct)
        self.entry = set_header(DESTINATION, destination)
        """The header entry that carries the destination."""
        self.metadata = _field(8, _field(1, outer))
        """The ``dynamic_metadata`` field that says the same, as the protocol demands."""
        self.mutations: dict[int, tuple[bytes, bytes]] = {}
        """A `_mutation` with no other headers for each number of digits of the content length, cut where they stand."""
        self.answers: dict[int, tuple[bytes, bytes]] = {}
        """The usual answer of `route_in_headers`, cut at the same place."""


_MOST_KEPT: Final = 4096
_DESTINATIONS: Final[dict[str, _Written]] = {}


def _destination(destination: str) -> _Written:
    written = _DESTINATIONS.get(destination)
    if written is None:
        if len(_DESTINATIONS) >= _MOST_KEPT:
            _DESTINATIONS.clear()
        written = _DESTINATIONS[destination] = _Written(destination)
    return written


def _mutation(destination: str, length: int | None, removed: Sequence[str], extra: Mapping[str, str]) -> bytes:
    entries = _destination(destination).entry
    for name, value in extra.items():
        entries += set_header(name, value)
    if length is not None:
        entries += _content_length(length)
    if removed:
        entries += remove_headers(removed)
    return _field(2, entries)  # CommonResponse.header_mutation


_CLEAR_ROUTE_CACHE: Final = b"\x28\x01"  # CommonResponse.clear_route_cache = true


_NONE: Final[Mapping[str, str]] = {}


def route_in_headers(
    destination: str, length: int | None, removed: Sequence[str] = (), extra: Mapping[str, str] = _NONE
) -> bytes:
    """Answer the request headers with the destination; ``length`` is the new content length where a body follows.

    ``removed`` headers are taken off, ``extra`` ones set.
    """
    if length is not None and not removed and not extra:
        digits = b"%d" % length
        written = _DESTINATIONS.get(destination) or _destination(destination)
        before, after = written.answers.get(len(digits)) or _usual_answer(destination, len(digits))
        return before + digits + after
    common = _mutation(destination, length, removed, extra) + _CLEAR_ROUTE_CACHE
    return _field(1, _field(1, common)) + _destination(destination).metadata


def _usual_mutation(destination: str, digits: int) -> tuple[bytes, bytes]:
    """Write what `_Written.mutations` keeps for so many ``digits``."""
    whole = _mutation(destination, int("1".ljust(digits, "0")), (), _NONE)
    cut = len(whole) - len(_OVERWRITE)
    halves = _destination(destination).mutations[digits] = whole[: cut - digits], whole[cut:]
    return halves


def _usual_answer(destination: str, digits: int) -> tuple[bytes, bytes]:
    """Write what `_Written.answers` keeps for so many ``digits``."""
    before, after = _usual_mutation(destination, digits)
    after += _CLEAR_ROUTE_CACHE
    size = len(before) + digits + len(after)
    common = b"\x0a" + _varint(size)  # HeadersResponse.response
    written = _destination(destination)
    halves = b"\x0a" + _varint(len(common) + size) + common + before, after + written.metadata
    written.answers[digits] = halves
    return halves


def route_in_body(
    destination: str, body: bytes | None, removed: Sequence[str] = (), extra: Mapping[str, str] = _NONE
) -> bytes:
    """Answer a buffered request body with the destination, and with a new body unless it is ``None``."""
    written = _destination(destination)
    metadata = written.metadata
    if body is None:
        common = _mutation(destination, None, removed, extra) + _CLEAR_ROUTE_CACHE
        return _field(3, _field(1, common)) + metadata
    size = len(body)
    if removed or extra:
        mutation = _mutation(destination, size, removed, extra)
    else:
        digits = b"%d" % size
        before, after = written.mutations.get(len(digits)) or _usual_mutation(destination, len(digits))
        mutation = before + digits + after
    # Written out, so that a long body is copied once.
    inner = b"\x0a" + _varint(size)  # BodyMutation.body
    mutation += b"\x1a" + _varint(len(inner) + size) + inner  # CommonResponse.body_mutation
    rest = size + len(_CLEAR_ROUTE_CACHE)
    common = b"\x0a" + _varint(len(mutation) + rest) + mutation  # BodyResponse.response
    return b"".join((b"\x1a", _varint(len(common) + rest), common, body, _CLEAR_ROUTE_CACHE, metadata))


_PREFIXES: Final[dict[int, bytes]] = {}
"""What `_before_piece` has written, by its arguments packed into one number."""


def _before_piece(number: int, size: int, end_of_stream: bool) -> bytes:
    """What stands before the ``size`` bytes of a streamed piece, in the answer that is field ``number``."""
    written = b"\x0a" + _varint(size) if size else b""  # StreamedBodyResponse.body
    length = len(written) + size + (len(_END_OF_STREAM) if end_of_stream else 0)
    # StreamedBodyResponse in BodyMutation in CommonResponse in BodyResponse
    for outer in (3, 3, 1, number):
        tag = bytes((outer << 3 | 2,)) + _varint(length)
        length += len(tag)
        written = tag + written
    if len(_PREFIXES) >= _MOST_KEPT:
        _PREFIXES.clear()
    _PREFIXES[size << 4 | number << 1 | end_of_stream] = written
    return written


def _piece(number: int, body: bytes | memoryview, end_of_stream: bool) -> bytes:
    size = len(body)
    before = _PREFIXES.get(size << 4 | number << 1 | end_of_stream) or _before_piece(number, size, end_of_stream)
    return b"".join((before, body, _END_OF_STREAM)) if end_of_stream else before + body


def _pieces(number: int, body: bytes, end_of_stream: bool) -> list[bytes]:
    if len(body) <= MAX_CHUNK:
        return [_piece(number, body, end_of_stream)]
    last = (len(body) - 1) // MAX_CHUNK * MAX_CHUNK
    view = memoryview(body)
    return [
        _piece(number, view[start : start + MAX_CHUNK], end_of_stream and start == last)
        for start in range(0, len(body), MAX_CHUNK)
    ]


def request_chunks(body: bytes, end_of_stream: bool) -> list[bytes]:
    """The request body, full duplex: pieces of at most ``MAX_CHUNK`` bytes, at least one."""
    return _pieces(3, body, end_of_stream)


def response_chunks(body: bytes, end_of_stream: bool) -> list[bytes]:
    """A piece of the response body, full duplex, passed on as it is."""
    return _pieces(4, body, end_of_stream)


def response_chunk(body: bytes, end_of_stream: bool) -> bytes:
    """The same for a piece of at most ``MAX_CHUNK`` bytes."""
    size = len(body)
    before = _PREFIXES.get(size << 4 | 8 | end_of_stream) or _before_piece(4, size, end_of_stream)
    return before + body + _END_OF_STREAM if end_of_stream else before + body


def answer_headers(headers: Mapping[str, str]) -> bytes:
    """Answer the response headers, setting ``headers``."""
    entries = b"".join([set_header(name, value) for name, value in headers.items()])
    return _field(2, _field(1, _field(2, entries)))


CONTINUE_REQUEST_HEADERS: Final = _field(1, b"")
CONTINUE_RESPONSE_HEADERS: Final = _field(2, b"")
CONTINUE_REQUEST_BODY: Final = _field(3, b"")
CONTINUE_RESPONSE_BODY: Final = _field(4, b"")
CONTINUE_REQUEST_TRAILERS: Final = _field(5, b"")
CONTINUE_RESPONSE_TRAILERS: Final = _field(6, b"")
_BUFFER = {
    # What is not named in an override is switched off, so it repeats the response's mode. In FULL_DUPLEX_STREAMED
    # that has no effect, and without trailers it would not be valid.
    ProcessingMode.NONE: b"",
    ProcessingMode.STREAMED: b"\x20\x01",
    ProcessingMode.BUFFERED: b"\x20\x02",
    ProcessingMode.BUFFERED_PARTIAL: b"\x20\x03",
    ProcessingMode.FULL_DUPLEX_STREAMED: b"\x20\x04\x30\x01",
}


def buffer_the_body(response_body_mode: int) -> bytes:
    """Continue, and switch the request body to BUFFERED_PARTIAL (``mode_override``); all else stays as it is.

    Not to BUFFERED: with that, this Envoy neither sends nor refuses a body that is larger than its buffer. What is
    written is not kept: the mode is whatever number a peer has sent.
    """
    mode = b"\x08\x01\x10\x01\x18\x03" + _BUFFER.get(response_body_mode, b"")
    return CONTINUE_REQUEST_HEADERS + _field(9, mode)


def immediate(status: int, body: bytes, headers: Iterable[tuple[str, str]] = (), details: str = "") -> bytes:
    """Answer the client now with ``status`` and ``body``; nothing goes to a model server."""
    mutation = b"".join([set_header(name, value) for name, value in headers])
    message = _field(1, b"\x08" + _varint(status))
    if mutation:
        message += _field(2, mutation)
    message += _field(3, body)
    if details:
        message += _field(5, details.encode())
    return _field(7, message)
