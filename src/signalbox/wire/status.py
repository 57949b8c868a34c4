"""gRPC status codes and how they travel in trailers."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final
from urllib.parse import quote

from signalbox.wire.header_blocks import encode_fields
from signalbox.wire.header_rules import Field


class Status(IntEnum):
    """Codes of ``grpc-status``."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_RESPONSE_FIELDS: Final[tuple[Field, ...]] = ((b":status", b"200"), (b"content-type", b"application/grpc"))

RESPONSE_BLOCK: Final = encode_fields(_RESPONSE_FIELDS)
OK_BLOCK: Final = encode_fields(((b"grpc-status", b"0"),))

# Clients give up on header lists of more than 8 KiB; a percent-encoded character takes up to 12 bytes.
_MESSAGE_CHARACTERS: Final = 512
_PLAIN: Final = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_MESSAGE_TYPE: Final = re.compile(rb"application/grpc(?:[+;].*)?")


def encode_status_message(message: str) -> bytes:
    """Percent-encode ``grpc-message``: UTF-8, everything outside printable ASCII and ``%`` itself."""
    return quote(message[:_MESSAGE_CHARACTERS], safe=_PLAIN, errors="replace").encode()


def _status_fields(status: int, message: str) -> list[Field]:
    fields = [(b"grpc-status", str(int(status)).encode())]
    if message:
        fields.append((b"grpc-message", encode_status_message(message)))
    if status == Status.UNIMPLEMENTED:
        fields.append((b"grpc-accept-encoding", b"identity"))
    return fields


def trailer_block(status: int, message: str) -> bytes:
    """Return the header block that ends a call whose response has begun."""
    return encode_fields(_status_fields(status, message)) if status or message else OK_BLOCK


def trailers_only_block(status: int, message: str) -> bytes:
    """Return the header block that is a call's whole response."""
    return encode_fields((*_RESPONSE_FIELDS, *_status_fields(status, message)))


def http_error_block(code: int) -> bytes:
    """Return the header block that answers what is not gRPC with a plain HTTP status."""
    return encode_fields(((b":status", str(code).encode()), (b"content-length", b"0")))


def is_grpc(content_type: bytes) -> bool:
    """Whether a content-type is that of gRPC: alone, with a subtype such as ``+proto``, or with parameters."""
    return content_type == b"application/grpc" or _MESSAGE_TYPE.fullmatch(content_type) is not None
