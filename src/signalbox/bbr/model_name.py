"""The model that a request's body names."""

from __future__ import annotations

import re

import msgspec

from signalbox.payloads import PayloadError
from signalbox.payloads.members import read_members, spans

FIELD = "model"

MAX_LENGTH = 4096
"""UTF-8 bytes of a name: as much as an HTTPRoute can match in a header."""

_UNFIT = re.compile("[\x00-\x1f\x7f]")


def read_model(body: bytes) -> str | None:
    """Return the top-level ``model``, the last where it is repeated; ``None`` where there is none, ``""`` if empty.

    A number, ``true`` or ``false`` is the text it is written as. ``null``, a list and an object name no model.

    Raises:
        PayloadError: 400, the body is no JSON object, or the name cannot stand in a header.
    """
    members = read_members(body)
    last = None
    for key in members:
        if key.name == FIELD:
            last = key
    if last is None:
        return None
    text = bytes(members[last])
    if text[:1] in (b"{", b"[") or text == b"null":
        return None
    if not text.startswith(b'"'):
        return text.decode()
    if b"\\" in text:
        # The members may come from a copy of the body without surrogates: read the name where the client wrote it.
        *_, (start, end) = spans(body, members, FIELD)
        text = body[start:end]
    try:
        name = msgspec.json.decode(text, type=str)
        size = len(name.encode())
    except (msgspec.DecodeError, UnicodeError):
        raise PayloadError(400, "the field 'model' is not valid Unicode text", FIELD) from None
    if _UNFIT.search(name):
        raise PayloadError(400, "the field 'model' must not hold control characters", FIELD)
    if size > MAX_LENGTH:
        raise PayloadError(400, f"the field 'model' is {size} bytes long, the longest name is {MAX_LENGTH}", FIELD)
    return name
