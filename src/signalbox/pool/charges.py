"""One request on one endpoint's account, and what was on it when a scrape began."""

from __future__ import annotations

from dataclasses import dataclass

from signalbox.pool.endpoints import Endpoint


class Charge:
    """One request on one endpoint's account, in estimated tokens."""

    __slots__ = ("answer_tokens", "answered", "cached_tokens", "endpoint", "prompt_tokens")

    def __init__(
        self, endpoint: Endpoint, prompt_tokens: float, answer_tokens: float = 0.0, cached_tokens: float = 0.0
    ) -> None:
        self.endpoint = endpoint
        self.prompt_tokens = prompt_tokens
        """Of the prompt, those the server has to compute."""
        self.answer_tokens = answer_tokens
        self.cached_tokens = cached_tokens
        """Of the prompt, those it holds already."""
        self.answered = False
        """Whether the first token has come."""


@dataclass(frozen=True, slots=True)
class ScrapeMark:
    """What was in flight when a scrape began."""

    inflight: float
    kv_tokens: float
