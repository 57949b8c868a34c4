"""The ext_proc messages that come all the time, found in their bytes.

Envoy writes the fields of a ``ProcessingRequest`` in the order of their numbers: the phase (headers or a piece of a
body) first, then what hardly ever changes within an exchange. Reading just that shape by hand costs a third of what
message objects do, whose every field access makes a Python object. Everything else (other orders, other fields, wrong
bytes) is left to protobuf: the functions here then return ``None``. The tests hold them against it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest
from google.protobuf.message import DecodeError

from signalbox.wire.octets import NATIVE

REQUEST_HEADERS: Final = 0x12
RESPONSE_HEADERS: Final = 0x1A
REQUEST_BODY: Final = 0x22
RESPONSE_BODY: Final = 0x2A
"""The first byte of a message, where its phase comes first: the number of the field, and that it has a length."""

PLAIN_TAIL: Final = b"\x42\x00"
"""What follows the phase in most messages: ``metadata_context``, present and empty."""

SUBSET_NAMESPACE = "envoy.lb.subset_hint"
SUBSET_KEY = "x-gateway-destination-endpoint-subset"
LB_NAMESPACE = "envoy.lb"
SERVED_KEY = "x-gateway-destination-endpoint-served"

_SIEVE_LENGTHS: Final = 32
_SIEVE_OF_ALL: Final = bytes((1,)) * (_SIEVE_LENGTHS << 8)
_NO_NAMES: Final[frozenset[bytes]] = frozenset()
_LONGEST_KEPT_TAIL: Final = 1024
_END: Final = b"\x18\x01"  # HttpHeaders.end_of_stream = true


class Wanted:
    """Header names to look for, in lower case and of less than 128 bytes."""

    __slots__ = ("names", "sieve")

    def __init__(self, names: Iterable[bytes]) -> None:
        self.names = frozenset(names)
        sieve = bytearray(_SIEVE_LENGTHS << 8)
        for name in self.names:
            for first in (name[:1].lower(), name[:1].upper()):
                sieve[len(name) % _SIEVE_LENGTHS << 8 | first[0]] = 1
        self.sieve = bytes(sieve)
        """1 at the length and the first byte of each name. Compiled, most others are told apart by that without being
        cut out; interpreted, it would take longer than that."""


class Tail(NamedTuple):
    """What a message says beside its phase."""

    modes: tuple[int, int] | None = None
    """``protocol_config``: how the gateway sends request and response bodies."""
    subset: tuple[str, ...] | None = None
    """The endpoints the gateway allows (``ip:port`` or ``ip``)."""
    served: str | None = None
    """The endpoint that took the request."""


def tail_of(message: ProcessingRequest) -> Tail:
    """Read what a message says beside its phase."""
    modes = subset = served = None
    if message.HasField("protocol_config"):
        config = message.protocol_config
        modes = (config.request_body_mode, config.response_body_mode)
    if message.HasField("metadata_context"):
        spaces = message.metadata_context.filter_metadata
        if SUBSET_NAMESPACE in spaces and SUBSET_KEY in (fields := spaces[SUBSET_NAMESPACE].fields):
            value = fields[SUBSET_KEY]
            listed = (
                [one.string_value for one in value.list_value.values]
                if value.HasField("list_value")
                else [value.string_value]
            )
            subset = tuple(hint.strip() for item in listed for hint in item.split(",") if hint.strip())
        if LB_NAMESPACE in spaces and SERVED_KEY in (fields := spaces[LB_NAMESPACE].fields):
            served = fields[SERVED_KEY].string_value
    return Tail(modes, subset, served)


def read_tail(data: bytes) -> Tail | None:
    """Read the bytes after a phase; ``None`` if they are not fields that may stand there."""
    return _kept_tail(data) if len(data) <= _LONGEST_KEPT_TAIL else _read_tail(data)


def _read_tail(data: bytes) -> Tail | None:
    try:
        message = ProcessingRequest.FromString(data)
    except DecodeError:
        return None
    return tail_of(message) if message.WhichOneof("request") is None else None


_kept_tail = lru_cache(maxsize=256)(_read_tail)


def find_body(data: bytes) -> tuple[int, int, int, bool] | None:
    """Find the piece of a body in a message that begins with one (``data`` is not empty).

    Returns where the body begins and ends, where the tail begins, and whether the body ends with this piece.
    """
    try:
        size = data[1]
        at = 2
        if size > 0x7F:
            # Most pieces are of 128 to 16,383 bytes: read here, their lengths cost no calls.
            high = data[2]
            size, at = (size & 0x7F | high << 7, 3) if high < 0x80 else _long_varint(data, 2, size)
        end = at + size
        if end > len(data):
            return None
        if not size:
            return end, end, end, False
        start = stop = at
        if data[at] == 0x0A:  # HttpBody.body
            size = data[at + 1]
            start = at + 2
            if size > 0x7F:
                high = data[start]
                if high < 0x80:
                    size = size & 0x7F | high << 7
                    start += 1
                else:
                    size, start = _long_varint(data, start, size)
            stop = start + size
        if stop == end:
            return start, stop, end, False
        if stop + 2 == end and data[stop] == 0x10 and data[stop + 1] == 1:  # HttpBody.end_of_stream = true
            return start, stop, end, True
    except IndexError:
        pass
    return None


def find_headers(data: bytes, wanted: Wanted | None) -> tuple[dict[bytes, bytes], int, bool] | None:
    """Find ``wanted`` headers (all where that is ``None``) in a message that begins with headers.

    Returns them by name in lower case, where the tail begins, and whether no body follows. Of a header that comes
    twice the last one counts, but the search ends once every wanted one was found. What is not wanted is stepped over,
    whatever it holds.
    """
    names = _NO_NAMES if wanted is None else wanted.names
    sieve = _SIEVE_OF_ALL if wanted is None else wanted.sieve
    enough = -1 if wanted is None else len(names)
    try:
        size = data[1]
        at = 2
        if size > 0x7F:
            size, at = _long_varint(data, 2, size)
        end = at + size
        if end > len(data):
            return None
        found: dict[bytes, bytes] = {}
        if at < end and data[at] == 0x0A:  # HttpHeaders.headers
            size = data[at + 1]
            at += 2
            if size > 0x7F:
                size, at = _long_varint(data, at, size)
            stop = at + size
            while at < stop:
                size = data[at + 1]
                start = at + 2
                if size > 0x7F:
                    size, start = _long_varint(data, start, size)
                if data[at] != 0x0A or data[start] != 0x0A:  # HeaderMap.headers, HeaderValue.key
                    return None
                at = start + size
                length = data[start + 1]
                start += 2
                value = start + length
                if NATIVE:
                    if not sieve[length % _SIEVE_LENGTHS << 8 | data[start]]:
                        continue
                    name = data[start:value]
                    if name not in names:
                        name = name.lower()
                else:
                    name = data[start:value].lower()
                if wanted is None or name in names:
                    size = data[value + 1]
                    begin = value + 2
                    if size > 0x7F:
                        size, begin = _long_varint(data, begin, size)
                    # HeaderValue.raw_value. The length of a longer name takes more than a byte.
                    if data[value] != 0x1A or begin + size != at or length > 0x7F:
                        return None
                    found[name] = data[begin:at]
                    if len(found) == enough:
                        at = stop
            if at != stop:
                return None
        if at == end:
            return found, end, False
        if data[at:end] == _END:
            return found, end, True
    except IndexError:
        pass
    return None


def _long_varint(data: bytes, at: int, low: int) -> tuple[int, int]:
    """Read on from ``at`` a number whose first byte is ``low``; return it and where it ends.

    Raises IndexError where it has more than 28 bits.
    """
    byte = data[at]
    if byte < 0x80:
        return low & 0x7F | byte << 7, at + 1
    value = low & 0x7F | (byte & 0x7F) << 7
    for shift in (14, 21):
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
    raise IndexError
