"""The prompt of a request as sequences of tokens, real ones or estimated ones, four bytes each.

A prompt of token ids is its ids as little-endian 32-bit numbers; of text, every four bytes of UTF-8 stand for a token.
Both come as bytes, so whoever compares the beginnings of prompts need not know which it is. Equal prompts give equal
bytes, and a conversation that grows keeps the bytes it had.
"""

from __future__ import annotations

import re
import sys
from array import array

import msgspec
from msgspec import Raw

from signalbox.payloads.conversation import (
    Pieces,
    lay_out,
    lay_out_media,
    lay_out_message,
    lay_out_verbatim,
    unquoted,
)
from signalbox.payloads.prompts import BYTES_PER_TOKEN
from signalbox.payloads.requests import Request

_ISOLATING = (
    "cache_salt",
    "lora_path",
    *("previous_response_id", "conversation", "chat_template", "documents"),
    *("mm_processor_kwargs", "multi_modal_data", "features", "image_data", "video_data", "audio_data"),
)
_ISOLATE = frozenset(_ISOLATING)
_NATIVE = ("prompt", "text", "input_ids", "token_ids", "prompt_token_ids", "input")
_NATIVE_TEXT = frozenset(("prompt", "text", "input"))

_CONVERSATIONS = {
    "chat": ("messages", "system"),
    "messages": ("messages", "system"),
    "responses": ("input", "instructions"),
}
"""Where each API has its messages, and what goes before them."""

_CUT = 1024 * 1024  # bytes of a list of token ids; of a longer one only the beginning is decoded
_MANY = 100_000  # strings; a longer list is taken as one text
_BRACKET = ord("[")
_FIRST_ITEM = re.compile(rb'\[\s*+(["\[0-9]?)')

_STRINGS = msgspec.json.Decoder(list[Raw])
_IDS = msgspec.json.Decoder(list[int])
_ID_LISTS = msgspec.json.Decoder(list[list[int]])


class Conversation(msgspec.Struct, frozen=True):
    """A prompt of messages that have not been gone through yet."""

    head: bytes
    """What templates put before the messages, as it stands in the prompt."""
    messages: Raw
    """A list of messages or items, as it stands in the body."""
    salt: bytes
    """As in `Prompt`."""


class Prompt(msgspec.Struct, frozen=True):
    """What a model will read: one sequence, or several for a batch of completions or embeddings."""

    sequences: tuple[bytes, ...]
    """`BYTES_PER_TOKEN` bytes to a token, in the order in which the model reads them."""
    tokens: int
    """Length of all sequences together in tokens; an estimate unless the prompt came as token ids."""
    salt: bytes
    """What keeps the caches of two prompts apart though their sequences and models are the same: the client's
    ``cache_salt``, SGLang's ``lora_path``, media outside the text, a history stored at the server, an own chat
    template. The values as they stand in the body, separated by NUL, which JSON text cannot hold."""


def read_prompt(request: Request) -> Prompt:
    """Return the prompt of ``request`` without decoding its text. Never raises: what makes no sense is taken as text.

    Tools come before the messages, where chat templates put them: appended to, a conversation keeps its beginning.
    """
    fields = _fields(request)
    api = request.api
    sequences: tuple[bytes, ...]
    beyond = 0
    if api in _CONVERSATIONS:
        sequences = (_conversation(fields, *_CONVERSATIONS[api]),)
    else:
        names = {"completions": ("prompt",), "embeddings": ("input",)}.get(api, _NATIVE)
        name = next((name for name in names if name in fields), None)
        if name is not None:
            sequences, beyond = _sequences(fields[name])
        elif "messages" in fields:
            sequences = (_conversation(fields, "messages", "system"),)
        elif "prompt_embeds" in fields:
            pieces: Pieces = []
            lay_out_media(fields["prompt_embeds"], pieces)
            sequences = (b"".join(pieces),)
        else:
            sequences = ()
    tokens = sum([-(-len(sequence) // BYTES_PER_TOKEN) for sequence in sequences]) + beyond
    return Prompt(sequences, tokens, _salt(fields))


def read_conversation(request: Request) -> Conversation | None:
    """Return the parts of the prompt of ``request`` where it is a list of messages, ``None`` where it is not.

    Laid out by `signalbox.payloads.conversation`, the messages come behind the head as in `read_prompt`.
    """
    names = _CONVERSATIONS.get(request.api)
    if names is None:
        return None
    fields = _fields(request)
    messages = fields.get(names[0])
    if messages is None or memoryview(messages)[0] != _BRACKET:
        return None
    return Conversation(b"".join(_head(fields, names[1])), messages, _salt(fields))


def _fields(request: Request) -> dict[str, Raw]:
    return {name: value for name, value in request.fields.items() if len(value) != 4 or bytes(value) != b"null"}


def _conversation(fields: dict[str, Raw], messages: str, system: str) -> bytes:
    out = _head(fields, system)
    if messages in fields:
        lay_out(fields[messages], out, b"user")
    return b"".join(out)


def _head(fields: dict[str, Raw], system: str) -> Pieces:
    out: Pieces = []
    for name in ("tools", "functions"):
        if name in fields:
            lay_out_verbatim(name.encode(), fields[name], out)
    if system in fields:
        lay_out_message(b"system", fields[system], out)
    return out


def _salt(fields: dict[str, Raw]) -> bytes:
    if _ISOLATE.isdisjoint(fields):
        return b""
    return b"\0".join([memoryview(fields[name]) if name in fields else b"" for name in _ISOLATING])


def _sequences(value: Raw) -> tuple[tuple[bytes, ...], int]:
    """The sequences of a string, a list of strings, token ids or lists of token ids; and tokens left undecoded."""
    if memoryview(value)[0] != _BRACKET:
        return (unquoted(value).tobytes(),), 0
    text = bytes(value)
    first = _FIRST_ITEM.match(text)
    assert first is not None, "the value begins with a bracket"
    try:
        if first[1] == b'"' and (len(text) <= _CUT or text.count(b'","') <= _MANY):
            return tuple([unquoted(item).tobytes() for item in _STRINGS.decode(text)]), 0
        if first[1] == b"[" and len(text) <= _CUT:
            return tuple([_packed(ids) for ids in _ID_LISTS.decode(text)]), 0
        if first[1].isdigit():
            beyond = 0
            if len(text) > _CUT:
                end = text.rindex(b",", 0, _CUT)
                beyond = text.count(b",", end)
                text = text[:end] + b"]"
            return (_packed(_IDS.decode(text)),), beyond
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, ValueError):
        pass
    return (text[:-1],), 0


def _packed(ids: list[int]) -> bytes:
    numbers = array("I", ids)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
