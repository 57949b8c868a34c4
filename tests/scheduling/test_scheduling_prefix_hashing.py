"""Prompts as chains of block hashes, and what a match says about them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from signalbox.payloads import read_request
from signalbox.payloads.tokens import Prompt, read_prompt
from signalbox.scheduling.prefix import PrefixIndex, PrefixMatch, PromptBlocks, hash_prompt

BLOCK = 4  # tokens: 16 bytes


def chain(data: bytes, model: str = "m", salt: bytes = b"") -> list[int]:
    (only,) = hash_prompt(Prompt((data,), -(-len(data) // 4), salt), model, BLOCK).chains
    return only


def test_each_hash_is_seeded_with_the_one_before_and_the_first_with_model_and_salt() -> None:
    data = b"0123456789abcdefGHIJKLMNOPQRSTUVxyz"
    root = xxhash.xxh64_intdigest(b"m\0salt")
    first = xxhash.xxh64_intdigest(data[:16], root)
    second = xxhash.xxh64_intdigest(data[16:32], first)
    assert chain(data, "m", b"salt") == [first, second, xxhash.xxh64_intdigest(b"xyz", second)]


def test_hashes_are_the_same_in_every_process_and_on_every_machine() -> None:
    assert chain(b"the quick brown fox") == [14914635812844047018, 17110795182714435578]


@given(st.binary(max_size=100), st.binary(max_size=100), st.binary(max_size=100))
def test_prompts_share_exactly_the_blocks_of_their_common_beginning(head: bytes, one: bytes, other: bytes) -> None:
    left, right = head + one, head + other
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    expected = same // 16 if left != right else -(-same // 16)
    shared = [a == b for a, b in zip(chain(left), chain(right), strict=False)]
    assert shared == [True] * expected + [False] * (len(shared) - expected)


def test_equal_prompts_match_in_full_although_the_last_block_is_short() -> None:
    assert len(chain(b"x" * 17)) == 2
    assert chain(b"x" * 17) == chain(b"x" * 17)
    assert chain(b"x" * 17)[1] != chain(b"x" * 18)[1]


@pytest.mark.parametrize(("model", "salt"), [("other", b""), ("m", b"salt"), ("", b"m"), ("m\0", b"")])
def test_another_model_adapter_or_salt_shares_nothing(model: str, salt: bytes) -> None:
    assert set(chain(b"x" * 64)).isdisjoint(chain(b"x" * 64, model, salt))


def test_a_model_name_of_half_a_surrogate_pair_is_a_name_like_any_other() -> None:
    assert chain(b"x", "\ud800") != chain(b"x", "\udfff")


def test_what_lies_behind_the_limit_counts_as_length_but_is_not_hashed() -> None:
    blocks = hash_prompt(Prompt((b"x" * 100, b"y" * 100, b"z" * 100), 75, b""), "m", BLOCK, max_tokens=35)
    assert [len(chain) for chain in blocks.chains] == [7, 1, 0]
    assert (blocks.total, blocks.tokens) == (8, 75)
    assert blocks.chains[0] == chain(b"x" * 100)


def test_no_prompt_has_no_blocks() -> None:
    assert hash_prompt(Prompt((), 0, b""), "m") == PromptBlocks((), 0, 64)
    assert hash_prompt(Prompt((b"",), 0, b""), "m").total == 0


def test_a_block_needs_a_size() -> None:
    with pytest.raises(ValueError, match="block_size: 0 tokens"):
        hash_prompt(Prompt((b"x",), 1, b""), "m", 0)


@given(st.lists(st.text("ab\n", max_size=300), min_size=2, max_size=6), st.integers(1, 40))
def test_the_next_turn_of_a_conversation_finds_all_full_blocks_of_the_one_before(texts: list[str], size: int) -> None:
    index = PrefixIndex(size)
    before = 0
    for turn in range(1, len(texts) + 1):
        messages = [{"role": "user" if i % 2 == 0 else "assistant", "content": texts[i]} for i in range(turn)]
        body = json.dumps({"model": "m", "messages": messages}).encode()
        prompt = read_prompt(read_request("/v1/chat/completions", body))
        blocks = hash_prompt(prompt, "m", size)
        assert index.match(blocks, 1).blocks[0] >= before
        index.insert(blocks, 0)
        before = len(prompt.sequences[0]) // (size * 4)


# -- matches ------------------------------------------------------------------------------------------------------


def test_a_match_is_a_share_of_the_prompt_and_tokens_still_to_compute() -> None:
    match = PrefixMatch(np.array([0.0, 2.0, 4.0, 1.0]), total=4, block_size=64, tokens=230)
    rows = np.array([3, 1, 2])
    assert match.ratio(rows).tolist() == [0.25, 0.5, 1.0]
    assert match.uncached_tokens(rows).tolist() == [166, 102, 0]
    assert match.blocks.tolist() == [0, 2, 4, 1]


def test_of_an_empty_prompt_nobody_holds_anything() -> None:
    match = PrefixMatch(np.zeros(2), total=0, block_size=64, tokens=0)
    rows = np.arange(2)
    assert (match.ratio(rows).tolist(), match.uncached_tokens(rows).tolist()) == ([0, 0], [0, 0])
