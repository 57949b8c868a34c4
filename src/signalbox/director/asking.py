"""Requests that can go on once somebody told the token ids of their prompt."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.director.arrival import Arrival
from signalbox.payloads import Request, holds_media
from signalbox.scheduling.prefix.token_source import RENDER, TOKENIZE, TokenSource

_UNASKED = frozenset({"model", "stream", "stream_options"})
_PATHS = {
    (RENDER, "chat"): "/v1/chat/completions/render",
    (RENDER, "completions"): "/v1/completions/render",
    (TOKENIZE, "chat"): "/tokenize",
    (TOKENIZE, "completions"): "/tokenize",
}


class Asking(msgspec.Struct, eq=False):
    """A request whose prompt's token ids are wanted. Call `Director.proceed` when they are there, or when it is clear
    that they will not come; or drop it, nothing is charged for it yet. Two are never equal."""

    arrival: Arrival
    request: Request
    source: TokenSource
    path: str
    """Where to send the question."""
    body: bytes
    """The question."""
    media: bool
    """Whether the prompt holds media, which take longer."""
    began: float
    """When it came, in seconds of the caller's clock."""


def question(arrival: Arrival, request: Request, source: TokenSource, now: float) -> Asking | None:
    """Return what to ask about a request; ``None`` where nobody could answer."""
    path = _PATHS.get((source.backend, request.api))
    if path is None:
        return None
    fields: dict[str, Any] = {name: value for name, value in request.fields.items() if name not in _UNASKED}
    media = holds_media(request)
    if "prompt_embeds" in fields or (source.backend == TOKENIZE and media):
        return None  # what engines put in the place of media only a rendering service tells
    if path == "/tokenize" and request.api == "completions" and not bytes(fields["prompt"]).startswith(b'"'):
        return None  # it takes one prompt at a time
    model = source.model or (request.model if source.backend == RENDER else "")
    if model:
        fields["model"] = model
    return Asking(arrival, request, source, path, msgspec.json.encode(fields), media, now)
