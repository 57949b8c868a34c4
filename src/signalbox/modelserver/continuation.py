"""The text a simulated model answers with: a function of seed, model and prompt, token by token."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import xxhash

from signalbox.modelserver.tokenizer import END_OF_TURN, Tokenizer

_T = TypeVar("_T")
_WORDS = (
    "the", "a", "of", "to", "in", "and", "with", "for", "on", "at", "by", "from", "over", "under", "near", "light",
    "train", "signal", "track", "line", "stop", "hold", "clear", "path", "wait", "move", "lamp", "box", "post",
    "rail", "route", "switch", "point", "block", "early", "late", "north", "south", "east", "west", "city", "river",
    "bridge", "market", "street", "room", "table", "plate", "salt", "bread", "wine", "soup", "fresh", "warm", "crisp",
    "rich", "simple", "honest", "quiet", "loud", "small", "large", "bright", "dark", "old", "new", "first", "last",
    "next", "good", "fine", "fair", "plain", "sharp", "sweet", "slow", "quick", "we", "you", "they", "it", "this",
    "that", "each", "every", "some", "more", "most", "is", "was", "are", "were", "has", "had", "will", "can", "may",
    "must", "keep", "give", "take", "make", "find", "know", "say", "see", "come", "go", "look", "feel", "taste",
    "serve", "share", "learn",
)  # fmt: skip
_PERIOD = 4096  # tokens until the text repeats
_MEAN_LENGTH = 200.0  # tokens of an answer that ends by itself


def _text() -> list[str]:
    pieces: list[str] = []
    state, since = 20240229, 0
    while len(pieces) < _PERIOD:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64  # Knuth's MMIX generator
        if since > 5 and state >> 61 == 0:
            pieces.append(".")
            since = 0
        else:
            pieces.append(" " + _WORDS[(state >> 33) % len(_WORDS)])
            since += 1
    return pieces


_TABLE = _text() * 2  # twice, so that most slices need no wrapping
_TABLE_IDS = [token for piece in _TABLE for token in Tokenizer().encode(piece, add_special_tokens=False)]


def _window(table: list[_T], start: int, stop: int) -> list[_T]:
    offset = start % _PERIOD
    if offset + stop - start <= len(table):
        return table[offset : offset + stop - start]
    return [table[position % _PERIOD] for position in range(start, stop)]


@dataclass(frozen=True, slots=True)
class Continuation:
    """One answer of ``length`` tokens. The last one is an end-of-turn token without text if ``ends`` is true.

    ``cut`` is the number of characters shown (a stop string cuts the text short), None for all.
    """

    start: int
    length: int
    ends: bool
    stop_reason: str | None = None
    cut: int | None = None

    @property
    def finish_reason(self) -> str:
        """``stop`` if the answer came to its own end or met a stop string, else ``length``."""
        return "stop" if self.ends or self.stop_reason is not None else "length"

    def text(self, first: int, last: int) -> str:
        """Text of the tokens at positions [first, last)."""
        last = min(last, self.length - 1 if self.ends else self.length)
        if self.cut is None:
            return "".join(_window(_TABLE, self.start + first, self.start + last)) if first < last else ""
        shown = "".join(_window(_TABLE, self.start, self.start + last))[: self.cut]
        return shown[len("".join(_window(_TABLE, self.start, self.start + first))) :]

    def tokens(self, first: int, last: int) -> Sequence[int]:
        """Ids of the tokens at positions [first, last)."""
        ids = _window(_TABLE_IDS, self.start + first, self.start + last)
        if self.ends and first < self.length <= last:
            ids[self.length - 1 - first] = END_OF_TURN
        return ids


def continuation(
    key: bytes, seed: int, limit: int, *, minimum: int = 0, ignore_eos: bool = False, stop: Sequence[str] = ()
) -> Continuation:
    """The answer to a prompt: at most ``limit`` tokens, fewer if it ends by itself (geometric, mean 200 tokens).

    ``key`` identifies prompt, model and choice. ``minimum`` tokens come before an end; ``stop`` strings end the answer
    where the first of them appears and are not shown.
    """
    digest = xxhash.xxh64_intdigest(key, seed & (2**64 - 1))
    start = digest % _PERIOD
    natural = 2 - int(_MEAN_LENGTH * math.log(((digest >> 12) + 1) / 2**52))
    natural = max(natural, minimum + 1)
    ends = natural <= limit and not ignore_eos
    length = natural if ends else limit
    plain = Continuation(start, length, ends)
    return _cut_at(plain, stop, minimum) if stop else plain


def _cut_at(plain: Continuation, stop: Sequence[str], minimum: int) -> Continuation:
    text = plain.text(0, plain.length)
    earliest = len(plain.text(0, minimum))
    found = [(text.index(word, earliest), word) for word in stop if word and word in text[earliest:]]
    if not found:
        return plain
    position, word = min(found, key=lambda pair: pair[0])
    end = position + len(word)
    length = characters = 0
    for piece in _window(_TABLE, plain.start, plain.start + plain.length):
        if characters >= end:
            break
        characters += len(piece)
        length += 1
    return Continuation(plain.start, length, False, word, position)
