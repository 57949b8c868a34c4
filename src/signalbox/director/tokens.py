"""The token ids of a prompt, as a tokenizer or the client itself told them."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable

import msgspec

from signalbox.payloads import Request

_IDS = msgspec.json.Decoder(list[int])
_ID_LISTS = msgspec.json.Decoder(list[list[int]])
_SALT = "cache_salt"


class Tokens(msgspec.Struct, frozen=True):
    """What a prompt is to a model."""

    sequences: tuple[bytes, ...]
    """Of each sequence the token ids as little-endian 32-bit numbers."""
    media: tuple[tuple[str, int, int], ...] = ()
    """Of each image and the like in the first sequence its hash, where its tokens begin, and how many they are; in
    order."""


def packed(ids: Iterable[int]) -> bytes:
    """Return token ids as they are kept. Raises ``ValueError`` for what is none."""
    try:
        numbers = array("I", ids)
    except (TypeError, OverflowError) as error:
        raise ValueError(f"not a list of token ids: {error}") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def known_tokens(request: Request) -> Tokens | None:
    """Return the tokens of a completion whose prompt came as token ids, one list of them or several."""
    prompt = request.fields.get("prompt")
    text = b"" if prompt is None or request.api != "completions" else bytes(prompt)
    if not text.startswith(b"[") or text[1:].lstrip().startswith(b'"'):
        return None
    try:
        nested = text[1:].lstrip().startswith(b"[")
        lists = _ID_LISTS.decode(text) if nested else [_IDS.decode(text)]
        return Tokens(tuple([packed(ids) for ids in lists]))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None


def salt_of(request: Request) -> str:
    """Return the client's ``cache_salt``; empty where there is none."""
    value = request.fields.get(_SALT)
    if value is None:
        return ""
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
