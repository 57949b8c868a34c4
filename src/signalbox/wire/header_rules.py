"""What RFC 9113 section 8 asks of the fields of a request and of its trailers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from signalbox.wire.errors import MalformedHeaders

Field = tuple[bytes, bytes]

# Section 8.2.1: no control characters, space, upper case, colon, or anything outside ASCII.
_NAME = re.compile(rb"[!-9;-@\[-~]+")
_FORBIDDEN_IN_VALUE = re.compile(rb"[\x00\r\n]")
_BLANK = b" \t"
_CONNECTION_SPECIFIC = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_DIGITS = re.compile(rb"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A well-formed request field section. Shared between requests that sent the same bytes."""

    method: bytes
    path: bytes
    fields: tuple[Field, ...]
    """Every field that is not a pseudo-header, in order."""
    first: dict[bytes, bytes]
    """The first value of each field name."""
    content_length: int | None
    authority: bytes | None
    scheme: bytes | None
    size: int
    """Bytes of the header list as section 6.5.2 counts them."""


def list_size(fields: Iterable[Field]) -> int:
    """Return the size of a header list in bytes, with 32 for each field (section 6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in fields)


def _check_field(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name):
        raise MalformedHeaders(f"field name {name!r}")
    if _FORBIDDEN_IN_VALUE.search(value) or value[:1] in (b" ", b"\t") or value[-1:] in (b" ", b"\t"):
        raise MalformedHeaders(f"value of field {name!r}")
    if name in _CONNECTION_SPECIFIC:
        raise MalformedHeaders(f"connection-specific field {name!r}")
    if name == b"te" and value.lower() != b"trailers":
        raise MalformedHeaders("field b'te' with another value than trailers")


def _split(fields: Iterable[Field]) -> tuple[dict[bytes, bytes], list[Field]]:
    pseudo: dict[bytes, bytes] = {}
    regular: list[Field] = []
    for name, value in fields:
        if name[:1] != b":":
            _check_field(name, value)
            regular.append((name, value))
        elif regular:
            raise MalformedHeaders(f"pseudo-header {name!r} after a regular field")
        elif name not in _PSEUDO:
            raise MalformedHeaders(f"unknown pseudo-header {name!r}")
        elif name in pseudo:
            raise MalformedHeaders(f"pseudo-header {name!r} twice")
        elif _FORBIDDEN_IN_VALUE.search(value) or value.strip(_BLANK) != value:
            raise MalformedHeaders(f"value of pseudo-header {name!r}")
        else:
            pseudo[name] = value
    return pseudo, regular


def _check_target(pseudo: dict[bytes, bytes]) -> None:
    method = pseudo.get(b":method")
    path = pseudo.get(b":path")
    authority = pseudo.get(b":authority")
    if not method:
        raise MalformedHeaders("no :method")
    if method == b"CONNECT":
        if path is not None or b":scheme" in pseudo or not authority:
            raise MalformedHeaders("CONNECT takes :authority and neither :scheme nor :path")
        return
    if not pseudo.get(b":scheme"):
        raise MalformedHeaders("no :scheme")
    if not path or not (path[:1] == b"/" or (path == b"*" and method == b"OPTIONS")):
        raise MalformedHeaders(":path is missing or does not begin with /")
    if authority is not None and b"@" in authority:
        raise MalformedHeaders("user information in :authority")


def _content_length(regular: list[Field]) -> int | None:
    lengths = {value for name, value in regular if name == b"content-length"}
    if not lengths:
        return None
    value = lengths.pop()
    if lengths or not _DIGITS.fullmatch(value):
        raise MalformedHeaders("content-length is not one number")
    return int(value)


def request_head(fields: Iterable[Field]) -> RequestHead:
    """Check a request's fields (RFC 9113 sections 8.2 and 8.3) and sort them out.

    Raises `MalformedHeaders` saying which rule was broken.
    """
    pseudo, regular = _split(fields)
    _check_target(pseudo)
    first: dict[bytes, bytes] = {}
    for name, value in regular:
        first.setdefault(name, value)
    authority = pseudo.get(b":authority")
    if authority is not None and first.get(b"host", authority) != authority:
        raise MalformedHeaders("host differs from :authority")
    return RequestHead(
        method=pseudo[b":method"],
        path=pseudo.get(b":path", b""),
        fields=tuple(regular),
        first=first,
        content_length=_content_length(regular),
        authority=authority,
        scheme=pseudo.get(b":scheme"),
        size=list_size(pseudo.items()) + list_size(regular),
    )


def trailer_fields(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Check a request's trailers (RFC 9113 section 8.1); raises `MalformedHeaders`, also for a pseudo-header."""
    pseudo, regular = _split(fields)
    if pseudo:
        raise MalformedHeaders("pseudo-header in trailers")
    return tuple(regular)
