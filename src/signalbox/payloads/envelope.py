"""What is looked for in the JSON of an answer, or of one of its events."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

_NOTHING: Final = Raw(b"")


class Envelope(msgspec.Struct):
    """The members of the outermost object that can tell of usage or an error; nothing else is kept."""

    type: Any = None
    usage: Any = None
    error: Any = None
    response: Raw = _NOTHING
    message: Raw = _NOTHING


DECODER: Final = msgspec.json.Decoder(Envelope)
"""Reads one object."""
