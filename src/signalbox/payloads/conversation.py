"""A conversation as one run of bytes, in the order in which a chat template renders it.

The bytes serve comparison, not reading: two conversations that begin alike begin with the same bytes, and a turn
appended to one leaves every byte before it as it was. Text stays as it stands in the body, escapes included, so nothing
is decoded; what templates never render is left out, above all ``cache_control``, which clients move along from turn
to turn. Text given as a string and as a list with one text part come out the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import xxhash
from msgspec import Raw

from signalbox.payloads.prompts import BYTES_PER_TOKEN

MEDIA_TOKENS = 225
"""What an image, a clip or a file weighs, in tokens: 640 x 360 pixels at 1,024 pixels to a token."""

Pieces = list[bytes | memoryview]
Item = dict[str, Raw]
"""A message, an item of the Responses API or a content part: its fields, undecoded."""
Buffer: TypeAlias = bytes | memoryview | Raw

# JSON text holds no control characters, so these cannot be mistaken for content.
_MESSAGE = b"\x01"
_FIELD = b"\x02"
_PART = b"\x03"
_MEDIA = b"\x04"

_LONG = 256  # bytes; longer values of unknown fields are taken for data
_LARGE = 1024 * 1024  # bytes; from here on, items are counted before they are taken apart
_MANY = 100_000
_DEPTH = 3  # message > tool result > text part

# Fields in the order in which they are laid out, whatever their order in the body.
_PLAIN = ("role", "name", "type")
_TEXT = ("thinking", "reasoning", "reasoning_content", "summary", "content", "text", "refusal", "arguments", "output")
_CALLS = ("tool_calls", "function_call", "tool_call_id", "call_id", "tool_use_id", "input", "filename", "title")
_RANK = {name: rank for rank, name in enumerate((*_PLAIN, *_TEXT, *_CALLS))}
_TEXTUAL = frozenset(_TEXT)
_VERBATIM = frozenset((*_PLAIN, *_CALLS))
_UNRENDERED = frozenset(
    ("cache_control", "id", "status", "annotations", "logprobs", "signature", "encrypted_content", "index")
)
_DATA = frozenset(
    (
        *("image_url", "video_url", "audio_url", "input_audio", "image", "video", "audio", "image_embeds"),
        *("file", "file_id", "file_url", "file_data", "source"),
    )
)
_TEXT_TYPES = frozenset((b'"text"', b'"input_text"', b'"output_text"', b'"message"'))

_NOTHING = frozenset((b"null", b"[]"))
_QUOTE, _BRACKET, _NULL = b'"[n'
_ITEMS = msgspec.json.Decoder(list[Item])
_ITEM = msgspec.json.Decoder(Item)
_RAW_ITEMS = msgspec.json.Decoder(list[Raw])
_BETWEEN = re.compile(rb"[\s,]*+")


def unquoted(value: Raw) -> memoryview:
    """Return the text between the quotes of a JSON string, undecoded; any other value as it stands."""
    view = memoryview(value)
    return view[1:-1] if view[0] == _QUOTE else view


def lay_out(value: Raw, out: Pieces, role: bytes) -> None:
    """Append a conversation to ``out``: a list of messages or items, or text that stands for one message of ``role``.

    What cannot be read as a list of objects is laid out as text.
    """
    if memoryview(value)[0] == _BRACKET:
        _lay_out_items(value, out, _DEPTH, messages=True)
    else:
        out += (_MESSAGE, role, _FIELD, unquoted(value))


def read_items(value: Buffer) -> list[Item] | None:
    """Return the messages or items of a list; ``None`` for any other, and for one of more than are worth taking
    apart."""
    try:
        return None if _has_many_items(value) else _ITEMS.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def read_items_and_ends(value: Buffer) -> list[tuple[Item, int]] | None:
    """Return what `read_items` does, each with the place in ``value`` where it ends. Takes longer."""
    if _has_many_items(value):
        return None
    found = []
    end = 1
    try:
        for raw in _RAW_ITEMS.decode(value):
            between = _BETWEEN.match(value, end)
            assert between is not None, "it matches nothing as well"
            end = between.end() + len(raw)
            found.append((_ITEM.decode(raw), end))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found


def lay_out_messages(items: Sequence[Item], out: Pieces) -> None:
    """Append what `lay_out` does of these messages, one after the other: what it appends of one depends on no other."""
    _lay_out_each(items, out, _DEPTH, messages=True)


def lay_out_message(role: bytes, content: Raw, out: Pieces) -> None:
    """Append one message whose ``content`` is text or a list of parts, such as Anthropic's ``system``."""
    out += (_MESSAGE, role, _FIELD)
    _lay_out_text(content, out, _DEPTH - 1)


def lay_out_verbatim(name: bytes, value: Raw, out: Pieces) -> None:
    """Append a value as it stands in the body, such as the list of tools."""
    out += (_MESSAGE, name, _FIELD, memoryview(value))


def lay_out_media(value: Raw, out: Pieces) -> None:
    """Append a stand-in for media: a digest of the URL or data, repeated to the weight of `MEDIA_TOKENS`."""
    size = MEDIA_TOKENS * BYTES_PER_TOKEN - 1
    digest = xxhash.xxh128_digest(memoryview(value))
    out += (_MEDIA, (digest * (size // len(digest) + 1))[:size])


def _lay_out_text(value: Raw, out: Pieces, depth: int) -> None:
    view = memoryview(value)
    first = view[0]
    if first == _QUOTE:
        out.append(view[1:-1])
    elif first == _BRACKET and depth > 0:
        _lay_out_items(value, out, depth, messages=False)
    elif first != _NULL:
        out.append(view)


def _lay_out_items(value: Raw, out: Pieces, depth: int, *, messages: bool) -> None:
    items = read_items(value)
    if items is None:
        # Without the closing bracket, so that a longer list still begins with the same bytes.
        out.append(memoryview(value)[:-1])
    else:
        _lay_out_each(items, out, depth, messages=messages)


def _lay_out_each(items: Sequence[Item], out: Pieces, depth: int, *, messages: bool) -> None:
    between = b""
    for item in items:
        out.append(_MESSAGE if messages else between)
        between = _PART
        fields = len(item)
        # The two shapes that nearly all messages and parts have; the general way gives the same bytes.
        if fields == 2 and messages and "role" in item and (content := item.get("content")) is not None:
            out += (unquoted(item["role"]), _FIELD)
            _lay_out_text(content, out, depth - 1)
        elif fields == 2 and "type" in item and bytes(item["type"]) in _TEXT_TYPES and "text" in item:
            _lay_out_text(item["text"], out, depth - 1)
        else:
            _lay_out_fields(item, out, depth)


def _lay_out_fields(item: Item, out: Pieces, depth: int) -> None:
    for name in sorted(item, key=_order):
        value = item[name]
        if name == "content":
            out.append(_FIELD)
            _lay_out_text(value, out, depth - 1)
        elif name in _UNRENDERED or (len(value) <= 4 and bytes(value) in _NOTHING):
            continue
        elif name in _TEXTUAL:
            if name != "text":
                out += (_FIELD, name.encode(), _FIELD)
            _lay_out_text(value, out, depth - 1)
        elif name == "role":
            out.append(unquoted(value))
        elif name == "type" and bytes(value) in _TEXT_TYPES:
            continue
        elif name in _VERBATIM or (name not in _DATA and len(value) <= _LONG):
            out += (_FIELD, name.encode(), _FIELD, memoryview(value))
        else:
            lay_out_media(value, out)


def _order(name: str) -> tuple[int, str]:
    return _RANK.get(name, len(_RANK)), name


def _has_many_items(value: Buffer) -> bool:
    return len(value) > _LARGE and bytes(value).count(b",") > _MANY
