"""Who is asked for the token ids of a prompt."""

from __future__ import annotations

import msgspec

RENDER = "vllm"
"""A rendering service: ``/v1/completions/render`` and ``/v1/chat/completions/render``."""

TOKENIZE = "tokenize"
"""The pool's own servers: ``/tokenize``."""


class TokenSource(msgspec.Struct, frozen=True):
    """A token-producer that asks."""

    backend: str
    """`RENDER` or `TOKENIZE`."""
    model: str = ""
    """The model that is named when asking; empty for the one the client named (`RENDER`) or none (`TOKENIZE`)."""
    url: str = ""
    """Where the rendering service is."""
    timeout: float = 5.0
    """Seconds."""
    media_timeout: float = 30.0
    """Seconds, for prompts with media."""
