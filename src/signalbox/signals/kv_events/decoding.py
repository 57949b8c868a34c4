"""KV-cache events as engines send them: one MessagePack document for each batch, in the shapes of vLLM and SGLang.

A batch is ``[timestamp, events, rank?]`` or a map with these as ``ts`` and ``events``. An event is an array, its type
first, or a map with ``type``. What a later version adds at the end of an array or to a map is not looked at, nor are
events of other types.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.scheduling.prefix.precise_events import Cleared, Event, Removed, Stored

FULL_ATTENTION = frozenset({"full_attention", "mla_attention", "sink_full_attention", "full", "mla", "sink"})
"""Kinds of KV cache whose blocks stand for all tokens before them. Those of sliding windows and of state space models
do not."""

_STORED = (
    "type", "block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium", "lora_name",
    "extra_keys", "group_idx", "kv_cache_spec_kind",
)  # fmt: skip
_REMOVED = ("type", "block_hashes", "medium", "group_idx", "kv_cache_spec_kind")
_FIELDS = {"BlockStored": _STORED, "BlockRemoved": _REMOVED, "AllBlocksCleared": ("type",)}
_WHOLE = 2**64 - 1
_DECODER = msgspec.msgpack.Decoder()


class BadEvents(ValueError):
    """A message that is no batch of events; says what is wrong with it."""


def decode_events(message: bytes) -> list[Event]:
    """Return the events of one batch that matter to the index, in order. Raises `BadEvents`."""
    try:
        batch = _DECODER.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadEvents(f"not MessagePack: {error}") from None
    events = batch.get("events") if isinstance(batch, dict) else batch[1] if _is_batch(batch) else None
    if not isinstance(events, list):
        raise BadEvents("a batch is [timestamp, events] or a map with events")
    found = []
    for event in events:
        read = _read(event)
        if read is not None:
            found.append(read)
    return found


def _is_batch(batch: object) -> bool:
    return isinstance(batch, list) and len(batch) >= 2


def _read(event: object) -> Event | None:
    if isinstance(event, dict):
        fields, kind = event, event.get("type")
    elif isinstance(event, list) and event:
        kind = event[0]
        fields = dict(zip(_FIELDS.get(kind, ()) if isinstance(kind, str) else (), event, strict=False))
    else:
        raise BadEvents("an event is an array that begins with its type, or a map with type")
    if kind == "AllBlocksCleared":
        return Cleared()
    if kind not in ("BlockStored", "BlockRemoved") or not _counts(fields.get("kv_cache_spec_kind")):
        return None
    hashes = _hashes(fields.get("block_hashes"))
    medium = _text(fields, "medium").lower() or "gpu"
    return Removed(hashes, medium) if kind == "BlockRemoved" else _stored(fields, hashes, medium)


def _counts(kind: object) -> bool:
    return kind is None or (isinstance(kind, str) and kind.lower() in FULL_ATTENTION)


def _stored(fields: dict[str, Any], hashes: Sequence[int], medium: str) -> Stored:
    size = fields.get("block_size")
    ids = fields.get("token_ids")
    if ids is None:
        ids = []
    if not isinstance(ids, list):
        raise BadEvents("token_ids is not an array")
    if ids:
        if type(size) is not int or size < 1:
            raise BadEvents(f"block_size is {size!r}, not a positive number")
        if len(ids) != size * len(hashes):
            raise BadEvents(f"{len(ids)} token_ids in {len(hashes)} blocks of {size}")
    parent = fields.get("parent_block_hash")
    adapter = _text(fields, "lora_name")
    return Stored(
        hashes,
        None if parent is None else (_hash(parent) or None),  # the llm-d simulator writes 0 for none
        packed(ids),
        size if type(size) is int and size > 0 else 1,
        medium,
        adapter,
        _extras(fields.get("extra_keys"), adapter),
    )


def packed(ids: list[int]) -> bytes:
    """Return token ids as little-endian 32-bit numbers. Raises `BadEvents` for what is no token id."""
    try:
        numbers = array("I", ids)
    except (TypeError, OverflowError):
        raise BadEvents("token_ids holds something that is no token id") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _hashes(value: object) -> list[int]:
    if not isinstance(value, list):
        raise BadEvents("block_hashes is not an array")
    return [_hash(entry) for entry in value]


def _hash(value: object) -> int:
    """An engine's hash in 64 bits: of a digest in bytes the last eight, as vLLM shortens them itself."""
    if type(value) is int:
        return value & _WHOLE
    if isinstance(value, bytes):
        return int.from_bytes(value[-8:], "big")
    raise BadEvents(f"a block hash is {type(value).__name__}, not an integer or bytes")


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadEvents(f"{name} is not a string")
    return value


def _extras(value: object, adapter: str) -> tuple[tuple[str, ...], ...]:
    """For each block the texts among its extra keys: media by their hash, with or without a place; the cache salt. The
    adapter's name is left out, as blocks are kept apart by it already."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadEvents("extra_keys is not an array")
    found = tuple([_texts(entry, adapter) for entry in value])
    return found if any(found) else ()


def _texts(entry: object, adapter: str) -> tuple[str, ...]:
    if not isinstance(entry, list):
        return ()
    texts = []
    for part in entry:
        text = part[0] if isinstance(part, list) and part else part
        if isinstance(text, str) and text != adapter:
            texts.append(text)
        elif isinstance(text, bytes):
            texts.append(text.hex())
    return tuple(texts)
