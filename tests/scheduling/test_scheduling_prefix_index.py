"""The prefix index: who is believed to hold what, checked against a model of plain dictionaries and lists."""

from __future__ import annotations

import itertools
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from signalbox.payloads.tokens import Prompt
from signalbox.scheduling.prefix import (
    DEFAULT_CAPACITY,
    Insertion,
    PrefixIndex,
    PromptBlocks,
    block_size_for,
    engine_capacity,
    hash_prompt,
)

ROWS = 4
BLOCK = 16  # tokens


def prompt(*texts: str) -> PromptBlocks:
    """Each letter of a text is one block, so that ``abc`` and ``abd`` share two."""
    sequences = tuple("".join(letter * BLOCK * 4 for letter in text).encode() for text in texts)
    return hash_prompt(Prompt(sequences, BLOCK * sum(map(len, texts)), b""), "m", BLOCK)


def held(index: PrefixIndex, text: str, rows: int = ROWS) -> list[int]:
    return [int(count) for count in index.match(prompt(text), rows).blocks]


def with_capacity(blocks: int, rows: int = ROWS) -> PrefixIndex:
    index = PrefixIndex(BLOCK)
    for row in range(rows):
        index.set_capacity(row, blocks * BLOCK)
    return index


# -- what is believed ---------------------------------------------------------------------------------------------


def test_an_empty_index_believes_nothing() -> None:
    assert held(PrefixIndex(BLOCK), "abc") == [0, 0, 0, 0]


def test_a_routed_prompt_is_believed_at_once_so_the_second_of_two_equal_prompts_sees_the_first() -> None:
    index = PrefixIndex(BLOCK)
    index.insert(prompt("abc"), 2)
    match = index.match(prompt("abc"), ROWS)
    assert match.ratio(np.arange(ROWS)).tolist() == [0, 0, 1, 0]


def test_each_endpoint_counts_its_own_leading_blocks() -> None:
    index = PrefixIndex(BLOCK)
    index.insert(prompt("abcd"), 0)
    index.insert(prompt("abxy"), 1)
    index.insert(prompt("zbcd"), 2)
    assert held(index, "abcde") == [4, 2, 0, 0]


def test_a_block_behind_a_gap_does_not_count() -> None:
    index = with_capacity(3)
    index.insert(prompt("abc"), 0)
    index.insert(prompt("xy"), 0)  # evicts the tail of abc
    index.insert(prompt("abcd"), 1)
    assert held(index, "abcd") == [1, 3, 0, 0]


@pytest.mark.parametrize("holders", [1, 30])
def test_sequences_of_one_prompt_add_up(holders: int) -> None:
    index = PrefixIndex(BLOCK)
    for row in range(holders):
        index.insert(prompt("ab", "xy"), row)
    match = index.match(prompt("abc", "x", "q"), 32)
    assert (match.total, match.blocks.tolist()) == (5, [3] * holders + [0] * (32 - holders))


def test_the_pool_may_grow_at_any_time() -> None:
    index = PrefixIndex(BLOCK)
    index.insert(prompt("ab"), 1)
    index.insert(prompt("ab"), 1000)
    blocks = index.match(prompt("abc"), 1024).blocks
    assert np.flatnonzero(blocks).tolist() == [1, 1000]
    assert held(index, "abc") == [0, 2, 0, 0]  # columns that have not grown yet show the rows they have


def test_a_thousand_endpoints_that_part_in_many_places() -> None:
    index = PrefixIndex(BLOCK)
    whole = prompt("abcdefghijklmnop")
    for row in range(1024):
        part = whole.chains[0][: row % 17]
        index.insert(PromptBlocks((part,), 0, BLOCK), row)
    assert index.match(whole, 1024).blocks.tolist() == [row % 17 for row in range(1024)]
    assert index.blocks == 16


def test_a_prompt_cut_into_other_blocks_is_refused() -> None:
    index = PrefixIndex(64)
    with pytest.raises(ValueError, match=r"PromptBlocks.block_size: 16 tokens.* 64"):
        index.match(prompt("a"), ROWS)
    with pytest.raises(ValueError, match="block_size"):
        index.insert(prompt("a"), 0)


@pytest.mark.parametrize(("block_size", "max_blocks"), [(0, 1), (1, 0)])
def test_an_index_needs_room(block_size: int, max_blocks: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PrefixIndex(block_size, max_blocks)


# -- capacity -----------------------------------------------------------------------------------------------------


def test_capacity_is_what_the_engine_reports_and_other_tiers_add() -> None:
    assert engine_capacity(16.0, 1000.0) == 16_000
    assert engine_capacity(16, 1000, offload_tokens=500) == 16_500
    assert engine_capacity(0, 0) == DEFAULT_CAPACITY
    assert engine_capacity(16, 0, offload_tokens=500) == DEFAULT_CAPACITY + 500


def test_blocks_are_as_large_as_the_largest_of_the_engines_and_not_too_small() -> None:
    assert block_size_for(np.array([16.0, 0.0, 784.0])) == 784
    assert block_size_for(np.array([16.0, 0.0])) == 64
    assert block_size_for(np.array([]), least=128) == 128


def test_an_endpoint_that_reports_nothing_holds_the_default() -> None:
    index = PrefixIndex(DEFAULT_CAPACITY // 2)
    size = index.block_size
    for number in range(3):
        index.insert(PromptBlocks(([number],), 1, size), 0)
    assert index.held(0) == 2


def test_a_tail_is_evicted_before_its_head() -> None:
    index = with_capacity(5)
    index.insert(prompt("abcd"), 0)
    index.insert(prompt("x"), 0)
    index.insert(prompt("yz"), 0)
    assert (held(index, "abcd")[0], held(index, "x")[0], held(index, "yz")[0]) == (2, 1, 2)


def test_use_keeps_a_prefix_and_lets_the_stale_branch_go_first() -> None:
    index = with_capacity(5)
    index.insert(prompt("abc"), 0)
    index.insert(prompt("abxy"), 0)  # c is all that nobody used since
    index.insert(prompt("q"), 0)
    assert (held(index, "abc")[0], held(index, "abxy")[0], held(index, "q")[0]) == (2, 4, 1)


def test_of_a_prompt_longer_than_the_capacity_the_beginning_is_held() -> None:
    index = with_capacity(3)
    assert index.insert(prompt("abcdef"), 0).added == 3
    assert (held(index, "abcdef")[0], index.held(0)) == (3, 3)


def test_capacity_may_change_while_serving() -> None:
    index = with_capacity(4)
    index.insert(prompt("abcd"), 0)
    index.set_capacity(0, 2 * BLOCK)
    assert held(index, "abcd")[0] == 2
    index.set_capacity(0, 6 * BLOCK)
    index.insert(prompt("abcdef"), 0)
    assert held(index, "abcdef")[0] == 6
    index.set_capacity(0, 0)
    assert (index.held(0), index.insert(prompt("a"), 0).added) == (0, 0)


def test_a_new_block_size_starts_afresh() -> None:
    index = PrefixIndex(BLOCK)
    old = index.insert(prompt("abc"), 0)
    index.set_block_size(BLOCK)
    assert index.blocks == 3
    index.set_block_size(32)
    index.give_back(old)
    assert (index.block_size, index.blocks, index.held(0)) == (32, 0, 0)
    with pytest.raises(ValueError, match="block_size 0"):
        index.set_block_size(0)


# -- giving back --------------------------------------------------------------------------------------------------


def test_a_refused_request_gives_its_blocks_back() -> None:
    index = PrefixIndex(BLOCK)
    index.insert(prompt("ab"), 0)
    refused = index.insert(prompt("abcd"), 0)
    assert refused.added == 2
    index.give_back(refused)
    assert (held(index, "abcd")[0], index.held(0), index.blocks) == (2, 2, 2)


def test_what_another_request_used_since_stays() -> None:
    index = PrefixIndex(BLOCK)
    first = index.insert(prompt("abcd"), 0)
    index.insert(prompt("abxy"), 0)
    index.give_back(first)
    assert (held(index, "abcd")[0], held(index, "abxy")[0]) == (2, 4)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_burst_that_fails_as_a_whole_leaves_nothing_in_whatever_order(order: tuple[int, int, int]) -> None:
    index = PrefixIndex(BLOCK)
    burst = [index.insert(prompt("abc"), 0) for _ in range(3)]
    for number in order:
        index.give_back(burst[number])
    assert index.blocks == 0


def test_giving_back_twice_takes_nothing_from_others() -> None:
    index = PrefixIndex(BLOCK)
    first = index.insert(prompt("ab"), 0)
    index.insert(prompt("ab"), 0)
    index.give_back(first)
    index.give_back(first)
    assert held(index, "ab")[0] == 2


def test_blocks_evicted_and_added_again_belong_to_who_added_them_again() -> None:
    index = with_capacity(2)
    first = index.insert(prompt("ab"), 0)
    index.insert(prompt("xy"), 0)
    index.insert(prompt("ab"), 0)
    index.give_back(first)
    assert held(index, "ab")[0] == 2


def test_a_sequence_repeated_in_one_prompt_is_given_back_whole() -> None:
    index = PrefixIndex(BLOCK)
    index.give_back(index.insert(prompt("ab", "ab", "ac"), 0))
    assert (index.blocks, index.held(0)) == (0, 0)


# -- leaving ------------------------------------------------------------------------------------------------------


def test_an_endpoint_that_leaves_is_forgotten_and_its_row_may_be_used_again() -> None:
    index = with_capacity(2)
    late = index.insert(prompt("ab"), 0)
    index.insert(prompt("abc"), 1)
    index.forget(0)
    assert (held(index, "ab"), index.blocks) == ([0, 2, 0, 0], 2)
    index.insert(prompt("abcd"), 0)  # another endpoint, which has not told its capacity
    index.give_back(late)
    assert held(index, "abcd")[0] == 4


def test_forgetting_a_row_that_holds_nothing_is_fine() -> None:
    index = PrefixIndex(BLOCK)
    index.forget(7)
    assert index.held(7) == 0


# -- memory -------------------------------------------------------------------------------------------------------


def test_the_whole_index_is_bounded_and_every_endpoint_gives_in_turn() -> None:
    index = PrefixIndex(BLOCK, max_blocks=6)
    index.insert(prompt("abc"), 0)
    index.insert(prompt("xyz"), 1)
    index.insert(prompt("uv"), 2)
    assert (index.blocks, held(index, "uv")[2]) == (6, 2)
    index.insert(prompt("stuvwxyz"), 2)
    assert (index.blocks, held(index, "stuvwxyz")[2]) == (6, 6)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.text("ab", min_size=1, max_size=12)), max_size=30),
    st.integers(1, 12),
)
def test_the_bound_holds_and_the_prompt_just_routed_stays(routed: list[tuple[int, str]], limit: int) -> None:
    index = PrefixIndex(BLOCK, max_blocks=limit)
    for row, text in routed:
        index.insert(prompt(text), row)
        assert index.blocks <= limit
        assert held(index, text)[row] == min(len(text), limit)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts CPython's bytes")
def test_the_reported_size_is_close_to_the_real_one() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        index = PrefixIndex(BLOCK)
        for number in range(400):
            chain = [(number * 50 + block) * 0x9E3779B97F4A7C15 % 2**64 for block in range(50)]
            index.insert(PromptBlocks((chain,), 0, BLOCK), number % 8)
        del chain
        real = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert index.blocks == 20_000
    assert index.memory_bytes == pytest.approx(real, rel=0.35)


# -- the naive model ----------------------------------------------------------------------------------------------


class NaiveEndpoint:
    """Blocks by least recent use, and for each the ticks of the uses that were not given back."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.blocks: dict[str, set[int]] = {}

    def insert(self, text: str, tick: int) -> int:
        names = [text[: end + 1] for end in range(len(text))][: self.capacity]
        added = sum(name not in self.blocks for name in names)
        for name in reversed(names):
            self.blocks[name] = {*self.blocks.pop(name, set()), tick}
        self.shrink()
        return added

    def shrink(self) -> None:
        while len(self.blocks) > self.capacity:
            del self.blocks[next(iter(self.blocks))]

    def give_back(self, tick: int) -> None:
        for name, ticks in list(self.blocks.items()):
            if tick in ticks:
                ticks.remove(tick)
                if not ticks:
                    del self.blocks[name]


TEXTS = st.text("abc", min_size=1, max_size=9)
ROW = st.integers(0, ROWS - 1)


class IndexAgainstModel(RuleBasedStateMachine):
    """Every operation on the index and on one `NaiveEndpoint` for each row: both believe the same, block by block."""

    insertions: Bundle[tuple[Insertion, NaiveEndpoint, list[int]]] = Bundle("insertions")

    @initialize(capacity=st.integers(1, 14))
    def start(self, capacity: int) -> None:
        self.index = with_capacity(capacity)
        self.rows = [NaiveEndpoint(capacity) for _ in range(ROWS)]
        self.ticks = itertools.count()
        self.asked: set[str] = set()

    @rule(target=insertions, texts=st.lists(TEXTS, min_size=1, max_size=2), row=ROW)
    def insert(self, texts: list[str], row: int) -> tuple[Insertion, NaiveEndpoint, list[int]]:
        self.asked.update(texts)
        insertion = self.index.insert(prompt(*texts), row)
        ticks = [next(self.ticks) for _ in texts]
        endpoint = self.rows[row]
        assert insertion.added == sum(endpoint.insert(text, tick) for text, tick in zip(texts, ticks, strict=True))
        return insertion, endpoint, ticks

    @rule(taken=consumes(insertions))
    def give_back(self, taken: tuple[Insertion, NaiveEndpoint, list[int]]) -> None:
        insertion, endpoint, ticks = taken
        self.index.give_back(insertion)
        for tick in ticks:
            endpoint.give_back(tick)

    @rule(row=ROW, capacity=st.integers(0, 14))
    def change_capacity(self, row: int, capacity: int) -> None:
        self.index.set_capacity(row, capacity * BLOCK)
        self.rows[row].capacity = capacity
        self.rows[row].shrink()

    @rule(row=ROW, capacity=st.integers(1, 14))
    def replace_endpoint(self, row: int, capacity: int) -> None:
        self.index.forget(row)
        self.index.set_capacity(row, capacity * BLOCK)
        self.rows[row] = NaiveEndpoint(capacity)

    @invariant()
    def both_believe_the_same(self) -> None:
        for text in self.asked:
            expected = [sum(text[: end + 1] in row.blocks for end in range(len(text))) for row in self.rows]
            assert held(self.index, text) == expected
            for row, count in zip(self.rows, expected, strict=True):
                assert all(text[: end + 1] in row.blocks for end in range(count)), "a head went before its tail"

    @invariant()
    def sizes_agree_and_stay_within_capacity(self) -> None:
        assert [self.index.held(row) for row in range(ROWS)] == [len(row.blocks) for row in self.rows]
        assert all(len(row.blocks) <= row.capacity for row in self.rows)
        assert self.index.blocks == len({name for row in self.rows for name in row.blocks})


IndexAgainstModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestIndexAgainstModel = IndexAgainstModel.TestCase
