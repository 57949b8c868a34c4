"""Headers that plugins set: what cannot be sent is the plugin's fault, not the request's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from signalbox.resources.limits import text

_TOKEN = r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+"
_NAME = re.compile(_TOKEN)
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_FRAMING = frozenset({"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"})
"""They say how a message travels, which is not for plugins to change."""

HeaderName = Annotated[str, text(1, 128, _TOKEN, "an HTTP header name")]
"""A parameter that names a header."""


def check_headers(plugin: str, headers: Mapping[Any, Any]) -> Mapping[str, str]:
    """Return the headers that ``plugin`` sets.

    Raises:
        TypeError: they are no mapping of text to text.
        ValueError: a name is not an HTTP header's, belongs to the message's framing, or a value holds a control
            character.
    """
    if not isinstance(headers, Mapping):
        raise TypeError(f"{plugin} returned a {type(headers).__name__}, where headers by name were asked for")
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"{plugin} set the header {name!r} to {value!r}: both must be text")
        if not _NAME.fullmatch(name) or name.lower() in _FRAMING:
            raise ValueError(f"{plugin} set the header {name!r}, which is not one a plugin can set")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"{plugin} set the header {name!r} to {value!r}, which holds a control character")
    return headers
