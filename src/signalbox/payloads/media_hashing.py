"""The images, videos and sounds of a prompt, each by a hash: what two requests have in common besides their text."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import xxhash
from msgspec import Raw

from signalbox.payloads.media import CONVERSATIONS, DEPTH, KINDS, LARGE, MANY, MARK, NATIVE, NOTHING
from signalbox.payloads.requests import Request

MOST_ITEMS = 256
"""Items that are told apart in one prompt; further ones are not looked for."""

_BRACKET, _BRACE = ord("["), ord("{")
_PARTS = msgspec.json.Decoder(list[dict[str, Raw]])
_VALUES = msgspec.json.Decoder(list[Raw])
_GROUPS = msgspec.json.Decoder(dict[str, Raw])


def media_items(request: Request) -> tuple[int, ...]:
    """Return a hash of each different item, in the order of the prompt; none for a body that could not be read
    or has more parts than are worth taking apart.

    An item is what its part says of it: a URL, or the data themselves. The same picture under two URLs is two items.
    """
    if not request.fields or MARK.search(request.body) is None:
        return ()
    found: dict[int, None] = {}
    for item in _items(request.fields):
        found[xxhash.xxh64_intdigest(memoryview(item))] = None
        if len(found) == MOST_ITEMS:
            break
    return tuple(found)


def _items(fields: dict[str, Raw]) -> Iterator[Raw]:
    for name in NATIVE:
        if name in fields:
            yield from _listed(fields[name], DEPTH)
    for name in CONVERSATIONS:
        if name in fields:
            yield from _among(fields[name], DEPTH)


def _too_many(text: memoryview) -> bool:
    return len(text) > LARGE and bytes(text).count(b",") > MANY


def _listed(value: Raw, depth: int) -> Iterator[Raw]:
    """The items of one of the engines' own fields: one, a list of them, or lists of them by kind."""
    text = memoryview(value)
    if not depth or text[0] not in (_BRACKET, _BRACE):
        if bytes(value) not in NOTHING:
            yield value
        return
    if _too_many(text):
        return
    inner = _VALUES.decode(value) if text[0] == _BRACKET else _GROUPS.decode(value).values()
    for item in inner:
        yield from _listed(item, depth - 1)


def _among(value: Raw, depth: int) -> Iterator[Raw]:
    """The items among the parts of ``value``: messages at first, parts further down."""
    text = memoryview(value)
    if not depth or text[0] != _BRACKET or MARK.search(text) is None or _too_many(text):
        return
    try:
        parts = _PARTS.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # texts or token ids; anything else is the server's to refuse
    for part in parts:
        kind = bytes(part["type"]).strip(b'"').decode("latin-1") if "type" in part else ""
        if kind in KINDS:
            yield _content(part, kind)
            continue
        if depth < DEPTH:
            known = next((name for name in part if name in KINDS and bytes(part[name]) not in NOTHING), None)
            if known is not None:
                yield part[known]
                continue
        for name in ("content", "output"):
            if name in part:
                yield from _among(part[name], depth - 1)


def _content(part: dict[str, Raw], kind: str) -> Raw:
    """What a part of a kind is about: the member of that name or of another that APIs use, else all but its type."""
    for name in (kind, "image_url", "source", "data", "file_id"):
        if name in part:
            return part[name]
    return Raw(msgspec.json.encode({name: value for name, value in part.items() if name != "type"}))
