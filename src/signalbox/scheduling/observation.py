"""What a policy is told about requests it routed: when the first token came, and how the answer ended."""

from __future__ import annotations

import msgspec

from signalbox.pool import Endpoint


class FirstToken(msgspec.Struct, frozen=True):
    """A streamed answer has begun. Everything is of the moment of the choice except ``seconds``."""

    endpoint: Endpoint
    """Who served it."""
    target: str
    """The model or adapter name the server saw."""
    prompt_tokens: float
    """Estimated length of the prompt."""
    cached_tokens: float
    """How many of them the endpoint was believed to hold."""
    ahead: float
    """Uncached prompt tokens of earlier requests to this endpoint that had not been answered yet."""
    decoding: float
    """Requests of ours that were past their first token there."""
    seconds: float
    """From the choice to the first byte of the answer's body."""


class Finished(msgspec.Struct, frozen=True):
    """A routed request has ended, however it ended."""

    endpoint: Endpoint
    target: str
    prompt_tokens: float
    """As the server counted them where it said so, otherwise the estimate."""
    cached_tokens: float | None
    """How many of them the server says it had cached; ``None`` where it does not say."""
    output_tokens: float | None
    """``None`` where the server does not say."""
    first_token_seconds: float | None
    """``None`` where the answer was not streamed or never began."""
    seconds: float
    """From the choice to the end."""
    complete: bool
    """Whether the whole answer went to the client, with a status below 400."""
    ahead: float = 0.0
    """As of `FirstToken`: prompt tokens before it at the moment of the choice."""
    decoding: float = 0.0
    """As of `FirstToken`: our requests past their first token at the moment of the choice."""
    moved: bool = False
    """Whether a fallback served it: ``ahead`` and ``decoding`` are the first choice's, and its time is that of both."""
    slo_tpot: float | None = None
    """Seconds per output token that the client asked for."""
