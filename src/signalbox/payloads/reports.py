"""Token usage and errors as the different APIs write them.

OpenAI: ``usage`` with ``prompt_tokens`` and ``completion_tokens``. OpenAI Responses: ``input_tokens`` and
``output_tokens``, in streams under ``response``. Anthropic: the same two names, in streams first under ``message``
and then at the top, and with tokens read from or written to the cache counted beside ``input_tokens``, not in it.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

from signalbox.payloads.envelope import DECODER, Envelope
from signalbox.payloads.usage import Usage

_USAGE_KEY: Final = re.compile(rb'"usage"\s*:\s*(?=\{)')
_USAGE_BYTES: Final = 64 * 1024  # far longer than any usage object
_CANDIDATES: Final = 8
_ENDLESS: Final = 10**12
"""No server counts so many tokens: sums and histograms are kept from numbers that would spoil them for good."""
_PLAIN: Final = frozenset(("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"))
"""What a usage has that says nothing of caches."""


class UsageReport:
    """What has been reported so far; of several reports the last one counts, number by number."""

    __slots__ = ("_cached", "_cached_apart", "_completion", "_prompt", "_written", "error")

    def __init__(self) -> None:
        self.error = False
        """An ``error`` object or an event of type ``error`` was seen."""
        self._prompt: int | None = None
        self._completion: int | None = None
        self._cached: int | None = None
        self._cached_apart: int | None = None
        self._written: int | None = None

    def read(self, payload: bytes) -> bool:
        """Read one JSON object; return whether it was one. Never raises."""
        try:
            self._take(DECODER.decode(payload), nested=True)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return True

    def read_tail(self, text: bytes) -> None:
        """Look for the usage in JSON whose beginning is lost or whose end never came.

        From a key of the outermost object on, the rest is itself an object but for its opening brace: such a usage
        counts before any that lies deeper. Where the end is missing too, the last usage has to do.
        """
        matches = list(_USAGE_KEY.finditer(text))[: -_CANDIDATES - 1 : -1]
        for match in matches:
            if self.read(b"{" + text[match.start() :]):
                return
        for match in matches:
            head = text[match.end() : match.end() + _USAGE_BYTES].decode("utf-8", "replace")
            try:
                usage, _ = json.JSONDecoder().raw_decode(head)
            except (ValueError, RecursionError):
                continue
            self._take_usage(usage)
            return

    def usage(self) -> Usage | None:
        """Return the totals; ``None`` when no report named a token count."""
        if self._prompt is None and self._completion is None:
            return None
        prompt, cached = self._prompt or 0, self._cached
        if self._cached_apart is not None:
            prompt += self._cached_apart + (self._written or 0)
            cached = self._cached_apart
        return Usage(prompt, self._completion or 0, cached)

    def _take(self, envelope: Envelope, nested: bool) -> None:
        if envelope.error or envelope.type == "error":
            self.error = True
        if envelope.usage is not None:
            self._take_usage(envelope.usage)
        if nested:
            for inner in (envelope.response, envelope.message):
                if len(inner) and memoryview(inner)[0] == ord("{"):
                    self._take(DECODER.decode(inner), nested=False)

    def _take_usage(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        get = usage.get
        self._prompt = _count(get("input_tokens"), _count(get("prompt_tokens"), self._prompt))
        self._completion = _count(get("output_tokens"), _count(get("completion_tokens"), self._completion))
        if usage.keys() <= _PLAIN:
            return
        for name in ("prompt_tokens_details", "input_tokens_details"):
            details = get(name)
            if isinstance(details, dict):
                self._cached = _count(details.get("cached_tokens"), self._cached)
        self._cached_apart = _count(get("cache_read_input_tokens"), self._cached_apart)
        self._written = _count(get("cache_creation_input_tokens"), self._written)


def _count(value: Any, known: int | None) -> int | None:
    """``value`` where it can be a number of tokens, else what was ``known``."""
    return value if type(value) is int and 0 <= value < _ENDLESS else known
