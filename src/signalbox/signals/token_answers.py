"""What tokenizers answer: vLLM's ``/tokenize`` and its rendering endpoints."""

from __future__ import annotations

import msgspec

from signalbox.director import Tokens
from signalbox.director.tokens import packed


class BadAnswer(ValueError):
    """An answer without token ids; says what is wrong with it."""


class _Placeholder(msgspec.Struct):
    offset: int
    length: int


class _Features(msgspec.Struct):
    mm_hashes: dict[str, list[str | None]] | None = None
    mm_placeholders: dict[str, list[_Placeholder]] | None = None


class _Prompt(msgspec.Struct):
    token_ids: list[int] | None = None
    tokens: list[int] | None = None
    features: _Features | None = None


_DECODER = msgspec.json.Decoder(_Prompt | list[_Prompt])


def read_tokens(answer: bytes) -> Tokens:
    """Return the token ids of one prompt, or of several. Raises `BadAnswer`."""
    try:
        read = _DECODER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(f"the answer is not token ids: {error}") from None
    prompts = read if isinstance(read, list) else [read]
    sequences = []
    for prompt in prompts:
        ids = prompt.token_ids if prompt.token_ids is not None else prompt.tokens
        if ids is None:
            raise BadAnswer("the answer is not token ids: it has neither token_ids nor tokens")
        try:
            sequences.append(packed(ids))
        except ValueError as error:
            raise BadAnswer(str(error)) from None
    features = prompts[0].features if prompts else None
    return Tokens(tuple(sequences), () if features is None else _media(features))


def _media(features: _Features) -> tuple[tuple[str, int, int], ...]:
    """Every item with its hash, where its tokens begin and how many they are, in order."""
    found = []
    for kind, places in (features.mm_placeholders or {}).items():
        hashes = (features.mm_hashes or {}).get(kind, [])
        for name, place in zip(hashes, places, strict=False):
            if name is not None:
                found.append((name, place.offset, place.length))
    return tuple(sorted(found, key=lambda item: item[1]))
