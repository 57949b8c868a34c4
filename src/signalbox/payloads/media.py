"""Whether a prompt holds an image, a video or audio: parts of its messages say so, not words anywhere in the body."""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from signalbox.payloads.requests import Request

KINDS = frozenset(
    {"image_url", "input_image", "image", "image_embeds", "video_url", "video", "audio_url", "input_audio", "audio"}
)
"""Types of content parts that are media; some APIs tell a part by the member of that name instead."""

NATIVE = ("image_data", "video_data", "audio_data", "multi_modal_data")  # beside the text, in the engines' own APIs
CONVERSATIONS = ("messages", "input")
MARK = re.compile(b'"(?:' + "|".join(sorted({*KINDS, *NATIVE}, key=len, reverse=True)).encode() + b')"')
NOTHING = frozenset((b"null", b"[]", b"{}", b'""'))
DEPTH = 3  # message > tool result > part
_BRACKET = ord("[")
LARGE = 1024 * 1024  # bytes; from here on, items are counted before they are taken apart
MANY = 100_000
_ITEMS = msgspec.json.Decoder(list[dict[str, Raw]])
_QUOTED = frozenset(f'"{kind}"'.encode() for kind in KINDS)


def holds_media(request: Request) -> bool:
    """Return whether the prompt has a part of one of `KINDS`, in a tool's result too.

    Tools, metadata and texts do not count, whatever they are called. A body that could not be read, or a conversation
    of more items than are worth taking apart, is taken for multimodal where a kind stands in it in quotes.
    """
    if MARK.search(request.body) is None:
        return False
    fields = request.fields
    if not fields:
        return True
    if any(bytes(fields[name]) not in NOTHING for name in NATIVE if name in fields):
        return True
    return any(_among(fields[name], DEPTH) for name in CONVERSATIONS if name in fields)


def _among(value: Raw, depth: int) -> bool:
    """Say whether there is media among the items of ``value``: messages at first, parts further down."""
    text = memoryview(value)
    if text[0] != _BRACKET or not depth or MARK.search(text) is None:
        return False
    if len(text) > LARGE and bytes(text).count(b",") > MANY:
        return True
    try:
        items = _ITEMS.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False  # texts or token ids; anything else is the server's to refuse
    for item in items:
        kind = item.get("type")
        if kind is not None and bytes(kind) in _QUOTED:
            return True
        # Of a message, "audio" names an earlier answer; of a part, it is the sound itself.
        if depth < DEPTH and any(name in KINDS and bytes(item[name]) not in NOTHING for name in item):
            return True
        if any(_among(item[name], depth - 1) for name in ("content", "output") if name in item):
            return True
    return False
