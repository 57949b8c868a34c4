"""One request on one endpoint's account, and what was on it when a scrape began."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from signalbox.pool.endpoints import Endpoint


class Charge(msgspec.Struct):
    """One request on one endpoint's account, in estimated tokens."""

    endpoint: Endpoint
    prompt_tokens: float
    """Of the prompt, those the server has to compute."""
    answer_tokens: float = 0.0
    cached_tokens: float = 0.0
    """Of the prompt, those it holds already."""
    answered: bool = False
    """Whether the first token has come."""


@dataclass(frozen=True, slots=True)
class ScrapeMark:
    """What was in flight when a scrape began."""

    inflight: float
    kv_tokens: float
