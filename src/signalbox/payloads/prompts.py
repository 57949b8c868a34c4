"""How much prompt text a request carries, without decoding the text.

The size is an estimate for token counts: the UTF-8 bytes of the text as it stands in the body (JSON escapes
included), media left out; a token id counts as `BYTES_PER_TOKEN`.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

BYTES_PER_TOKEN = 4

_LARGE = 1024 * 1024  # bytes; from here on, parts are counted before they are taken apart
_MANY = 100_000  # parts; a prompt of more is not taken apart: its size in bytes is close enough
_DEPTH = 3  # message > tool result > text part
_QUOTE, _BRACKET = b'"['

_NOTHING = Raw(b"")
_FIRST_ITEM = re.compile(rb'\[[\s\[]*+(["0-9-]?)')


class _Part(msgspec.Struct):
    """A message, a content part, or an item of the Responses API: whatever carries text."""

    content: Raw = _NOTHING
    text: Raw = _NOTHING
    thinking: Raw = _NOTHING
    reasoning: Raw = _NOTHING
    arguments: Raw = _NOTHING
    output: Raw = _NOTHING
    tool_calls: Raw = _NOTHING


_PARTS = msgspec.json.Decoder(list[_Part])
_ITEMS = msgspec.json.Decoder(list[Raw])


def text_size(value: Raw | None) -> int:
    """Size of a prompt: a string, a list of strings, token ids, or lists of token ids. Other values have size 0."""
    if value is None:
        return 0
    text = bytes(value)
    if text.startswith(b'"'):
        return len(text) - 2
    first = _FIRST_ITEM.match(text)
    if first is None or not first[1]:
        return 0
    if first[1] != b'"':
        return (text.count(b",") + 1) * BYTES_PER_TOKEN
    if _has_many_parts(text):
        return len(text)
    return sum(len(item) - 2 for item in _ITEMS.decode(text) if memoryview(item)[0] == _QUOTE)


def conversation_size(value: Raw | None, depth: int = _DEPTH) -> int:
    """Size of the text in messages or items: strings and text parts, tool calls and tool results; no media.

    Messages that are not objects have size 0: the model server will say what is wrong with them.
    """
    if value is None:
        return 0
    text = bytes(value)
    first = text[0]
    if first == _QUOTE:
        return len(text) - 2
    if first != _BRACKET or depth == 0:
        return 0
    if _has_many_parts(text):
        return len(text)
    try:
        parts = _PARTS.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    size = 0
    for part in parts:
        content = part.content
        if content is not _NOTHING and memoryview(content)[0] == _QUOTE:
            size += len(content) - 2
        else:
            for field in (content, part.text, part.thinking, part.arguments, part.output):
                if field is not _NOTHING:
                    size += conversation_size(field, depth - 1)
        if part.reasoning is not _NOTHING:
            size += conversation_size(part.reasoning, depth - 1)
        if part.tool_calls is not _NOTHING:
            size += len(part.tool_calls)
    return size


def _has_many_parts(text: bytes) -> bool:
    return len(text) > _LARGE and text.count(b",") > _MANY
