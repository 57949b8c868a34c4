"""The top-level members of a JSON object, found at the speed of C and located to the byte.

A body can be megabytes long while the picker wants a handful of its fields, so nothing below the top level is
decoded: each value stays a `msgspec.Raw`, a view of the body. msgspec folds a repeated key into one entry of a
dictionary; here every key becomes an object of its own, equal only to itself, so that repeated members survive in
the order of the body. That order, and the exact length of each value, are all that is needed to walk the body and
find the byte span of any value, whatever its whitespace and escapes.

Making those objects takes longer than reading a short body does. Most readers only want the last value of each name,
which is a plain dictionary: `read_fields` makes only that where it can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from signalbox.payloads.errors import PayloadError

MAX_MEMBERS = 4096
"""Fields of the top-level object. APIs have fewer than a hundred; the bound keeps a hostile body cheap."""

_TOO_SHORT = 5 * MAX_MEMBERS  # bytes; no member is shorter than `"":0,`, so there are fewer than too many
_UNCOUNTED = 64 * 1024  # bytes of a body that is too short to hold a costly number of members
_REPAIRABLE = 1024 * 1024  # bytes; rewriting the escapes of a longer body would hold up everything else

_KEY = re.compile(rb'[\s,{]*+"[^"\\]*+(?:\\.[^"\\]*+)*+"\s*+:\s*+', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BYTE = re.compile(r"^(?:JSON is malformed: )?(.*?) \(byte (\d+)\)$")


class Key:
    """One occurrence of a key: compares by identity, so that a repeated key is another entry."""

    __slots__ = ("name",)

    def __init__(self, _type: type, name: str) -> None:
        """Take what a ``dec_hook`` is given, so that this is one."""
        self.name = name


Members = dict[Key, msgspec.Raw]
"""The members in the order of the body."""


class _TooManyMembersError(ValueError):
    pass


class _CountingKey:
    """Makes keys until there are too many of them."""

    def __init__(self) -> None:
        self._left = MAX_MEMBERS

    def __call__(self, _type: type, name: str) -> Key:
        self._left -= 1
        if self._left < 0:
            raise _TooManyMembersError
        return Key(_type, name)


Fields = dict[str, msgspec.Raw]
"""The values by name; of repeated members the last one."""

_DECODER = msgspec.json.Decoder(Members, dec_hook=Key)
_FIELDS = msgspec.json.Decoder(Fields)


class Walked(Fields):
    """Fields that were taken from the members, every repeated one included."""

    __slots__ = ("members",)

    def __init__(self, members: Members) -> None:
        super().__init__({key.name: value for key, value in members.items()})
        self.members = members


def read_fields(body: bytes) -> Fields:
    """Return the top-level members of a JSON object by name: `Walked` ones where that was needed to read them.

    Raises as `read_members`, of the same bodies.
    """
    if len(body) < _TOO_SHORT:
        try:
            return _FIELDS.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # what is wrong with it, or how it can be read all the same, is found below
    return Walked(read_members(body))


def read_members(body: bytes) -> Members:
    """Return the top-level members of a JSON object, repeated keys included.

    Raises `PayloadError` (400) when the body is not JSON, is not an object, is nested too deeply to be read, or has
    more than `MAX_MEMBERS` members.
    """
    try:
        members = _decode(body)
    except msgspec.ValidationError as wrong:
        if isinstance(wrong.__cause__, _TooManyMembersError):
            raise _too_many() from None
        raise PayloadError(400, f"the request body must be a JSON object: {_lower(str(wrong))}") from None
    except RecursionError:
        raise PayloadError(400, "the request body is nested too deeply") from None
    except UnicodeDecodeError as garbled:
        raise PayloadError(400, f"the request body is not JSON: a key is not valid UTF-8 ({garbled.reason})") from None
    except msgspec.DecodeError as error:
        raise PayloadError(400, f"the request body is not JSON: {_where(body, str(error))}") from None
    if len(members) > MAX_MEMBERS:
        raise _too_many()
    return members


def _decode(body: bytes) -> Members:
    try:
        return _decoder(body).decode(body)
    except msgspec.DecodeError:
        # msgspec refuses a key that holds half of a surrogate pair, which JSON's grammar allows. Other escapes of
        # the same length let it through and leave every byte in its place. That this also changes text in which
        # a backslash only happens to stand before "ud8" does no harm: none of it is ever used.
        if len(body) > _REPAIRABLE or _SURROGATE.search(body) is None:
            raise
        return _decoder(body).decode(_SURROGATE.sub(rb"\\u4e", body))


def _decoder(body: bytes) -> msgspec.json.Decoder[Members]:
    if len(body) <= _UNCOUNTED:
        return _DECODER
    return msgspec.json.Decoder(Members, dec_hook=_CountingKey())


def spans(body: bytes, members: Members, name: str) -> Iterator[tuple[int, int]]:
    """Yield the byte span of the value of every top-level member called ``name``, in the order of the body.

    ``members`` must come from `read_members` of the same body.
    """
    position = 0
    for key, value in members.items():
        match = _KEY.match(body, position)
        assert match is not None, "a body that msgspec accepted has a key before each value"
        start = match.end()
        position = start + len(value)
        if key.name == name:
            yield start, position


def _too_many() -> PayloadError:
    return PayloadError(400, f"the request body has more than {MAX_MEMBERS} top-level fields")


def _where(body: bytes, complaint: str) -> str:
    found = _BYTE.match(complaint)
    if found is None:
        return f"it ends too early, at byte {len(body)} (line {body.count(10) + 1})"
    byte = int(found[2])
    return f"{found[1]} at byte {byte} (line {body.count(10, 0, byte) + 1})"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:].replace("`", "")
