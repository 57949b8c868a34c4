"""Batches of KV-cache events in every shape engines send them in; anything else is an error that says why."""

from __future__ import annotations

from array import array
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.scheduling.prefix.precise_events import Cleared, Removed, Stored
from signalbox.signals.kv_events.decoding import BadEvents, decode_events


def batch(*events: Any, rank: int | None = 0) -> bytes:
    return msgspec.msgpack.encode([1.5, list(events)] if rank is None else [1.5, list(events), rank])


AS_MAP = {
    "type": "BlockStored",
    "block_hashes": [1, 2],
    "parent_block_hash": 9,
    "token_ids": [5, 6, 7, 8],
    "block_size": 2,
    "lora_id": None,
    "medium": "GPU",
    "lora_name": "sql",
    "extra_keys": [["sql", "image"], ["sql", ["image", 3]]],
}
STORED = Stored([1, 2], 9, array("I", [5, 6, 7, 8]).tobytes(), 2, "gpu", "sql", (("image",), ("image",)))


def test_an_event_is_a_map() -> None:
    assert decode_events(batch(AS_MAP)) == [STORED]


def test_an_event_is_an_array_with_its_type_first() -> None:
    assert decode_events(batch(list(AS_MAP.values()))) == [STORED]


def test_a_batch_may_be_a_map_too() -> None:
    assert decode_events(msgspec.msgpack.encode({"ts": 1.0, "events": [AS_MAP]})) == [STORED]


def test_a_rank_may_be_missing_and_more_may_follow() -> None:
    later = [*AS_MAP.values(), 0, "full_attention", None, "what a later version adds"]
    assert decode_events(batch(later, rank=None)) == [STORED]
    assert decode_events(batch({**AS_MAP, "session_id": "s"})) == [STORED]


def test_short_arrays_have_defaults() -> None:
    assert decode_events(batch(["BlockStored", [1], None, [5], 1])) == [Stored([1], None, array("I", [5]).tobytes(), 1)]
    assert decode_events(batch(["BlockRemoved", [1]])) == [Removed([1])]
    assert decode_events(batch(["AllBlocksCleared"])) == [Cleared()]


def test_hashes_are_numbers_or_bytes() -> None:
    digest = bytes(range(32))
    assert decode_events(batch(["BlockRemoved", [-1, digest], "CPU"])) == [
        Removed([2**64 - 1, int.from_bytes(digest[-8:], "big")], "cpu")
    ]


def test_zero_is_no_parent() -> None:
    (event,) = decode_events(batch(["BlockStored", [1], 0, [5], 1]))
    assert isinstance(event, Stored)
    assert event.parent is None


@pytest.mark.parametrize(("kind", "counts"), [
    ("full_attention", True), ("mla_attention", True), ("sink_full_attention", True), (None, True),
    ("sliding_window", False), ("mamba", False), (7, False),
])  # fmt: skip
def test_only_blocks_that_stand_for_all_before_them_count(kind: object, counts: bool) -> None:
    assert bool(decode_events(batch({**AS_MAP, "kv_cache_spec_kind": kind}))) is counts


def test_events_of_other_types_are_passed_over() -> None:
    assert decode_events(batch({"type": "Weather"}, ["Weather", 1], ["AllBlocksCleared"])) == [Cleared()]


@pytest.mark.parametrize(("message", "why"), [
    (b"\xc1", "not MessagePack"),
    (b"", "not MessagePack"),
    (msgspec.msgpack.encode(3), "a batch is"),
    (msgspec.msgpack.encode([1.0]), "a batch is"),
    (msgspec.msgpack.encode([1.0, 7]), "a batch is"),
    (batch(7), "an event is"),
    (batch([]), "an event is"),
    (batch(["BlockRemoved"]), "block_hashes is not an array"),
    (batch(["BlockRemoved", [1.5]]), "a block hash is float"),
    (batch(["BlockRemoved", [1], 3]), "medium is not a string"),
    (batch({**AS_MAP, "token_ids": 3}), "token_ids is not an array"),
    (batch({**AS_MAP, "token_ids": ["a", "b", "c", "d"]}), "no token id"),
    (batch({**AS_MAP, "token_ids": [-1, 0, 0, 0]}), "no token id"),
    (batch({**AS_MAP, "token_ids": [5, 6, 7]}), "3 token_ids in 2 blocks of 2"),
    (batch({**AS_MAP, "block_size": 0}), "block_size is 0"),
    (batch({**AS_MAP, "block_size": None}), "block_size is None"),
    (batch({**AS_MAP, "extra_keys": 3}), "extra_keys is not an array"),
    (batch({**AS_MAP, "lora_name": 3}), "lora_name is not a string"),
])  # fmt: skip
def test_anything_else_is_an_error_that_says_why(message: bytes, why: str) -> None:
    with pytest.raises(BadEvents, match=why):
        decode_events(message)


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_worse(message: bytes) -> None:
    try:
        decode_events(message)
    except BadEvents:
        pass


VALUES = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=12) | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["BlockStored", "BlockRemoved", "AllBlocksCleared"]), st.lists(VALUES, max_size=12))
def test_no_values_in_an_event_do_either(kind: str, values: list[Any]) -> None:
    try:
        decode_events(batch([kind, *values]))
    except BadEvents:
        pass
