"""The precise index holds what engines say they hold, no more and no less."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.scheduling.prefix.precise import PreciseIndex
from signalbox.scheduling.prefix.precise_events import Cleared, Removed, Stored
from signalbox.scheduling.prefix.precise_keys import joined, prompt_keys

EVERYTHING = 1_000_000


def packed(tokens: Iterable[int]) -> bytes:
    return array("I", tokens).tobytes()


def tokens(count: int, first: int = 0) -> list[int]:
    return list(range(first, first + count))


def keys(ids: Sequence[int], size: int = 4, adapter: str = "") -> list[int]:
    return prompt_keys(packed(ids), adapter, size, EVERYTHING)


def stored(
    hashes: Sequence[int], ids: Sequence[int], size: int = 4, parent: int | None = None, **more: object
) -> Stored:
    return Stored(hashes, parent, packed(ids), size, **more)  # type: ignore[arg-type]


@pytest.fixture
def index() -> PreciseIndex:
    return PreciseIndex(4)


def test_a_prompt_is_found_where_its_blocks_are_stored(index: PreciseIndex) -> None:
    index.apply(0, stored([1, 2, 3], tokens(12)))
    index.apply(2, stored([91, 92], tokens(8)))
    assert index.match(keys(tokens(16)), 3).tolist() == [3, 0, 2]


def test_engines_name_blocks_as_they_like(index: PreciseIndex) -> None:
    index.apply(0, stored([1], tokens(4)))
    index.apply(1, stored([1], tokens(4, first=50)))
    assert index.match(keys(tokens(4)), 2).tolist() == [1, 0]


def test_a_later_report_goes_on_where_an_earlier_one_ended(index: PreciseIndex) -> None:
    index.apply(0, stored([1], tokens(4)))
    index.apply(0, stored([2], tokens(4, first=4), parent=1))
    assert index.match(keys(tokens(8)), 1).tolist() == [2]


def test_a_report_whose_beginning_was_missed_is_not_taken_in(index: PreciseIndex) -> None:
    index.apply(0, stored([2, 3], tokens(8, first=4), parent=1))
    assert index.entries == 0
    assert index.tally.orphaned == 2


def test_a_block_counts_only_with_all_before_it(index: PreciseIndex) -> None:
    index.apply(0, stored([1, 2, 3], tokens(12)))
    index.apply(0, Removed([2]))
    assert index.match(keys(tokens(12)), 1).tolist() == [1]
    index.apply(0, stored([2], tokens(4, first=4), parent=1))
    assert index.match(keys(tokens(12)), 1).tolist() == [3]


def test_what_was_stored_twice_is_removed_twice(index: PreciseIndex) -> None:
    for _ in range(3):
        index.apply(0, stored([1], tokens(4)))
    for left in (1, 1, 0, 0):
        index.apply(0, Removed([1]))
        assert index.match(keys(tokens(4)), 1).tolist() == [left]
    assert index.entries == 0


def test_one_block_under_two_hashes_is_held_while_either_is(index: PreciseIndex) -> None:
    index.apply(0, stored([1], tokens(4)))
    index.apply(0, stored([2], tokens(4)))
    index.apply(0, Removed([1]))
    assert index.match(keys(tokens(4)), 1).tolist() == [1]
    index.apply(0, Removed([2]))
    assert index.match(keys(tokens(4)), 1).tolist() == [0]


def test_an_engine_that_clears_its_cache_holds_nothing(index: PreciseIndex) -> None:
    index.apply(0, stored([1, 2], tokens(8)))
    index.apply(1, stored([1, 2], tokens(8)))
    index.apply(0, Cleared())
    assert index.match(keys(tokens(8)), 2).tolist() == [0, 2]
    assert index.entries == 2


def test_an_endpoint_that_is_gone_is_forgotten_with_what_was_expected_of_it(index: PreciseIndex) -> None:
    index.apply(0, stored([1], tokens(4)))
    index.speculation.expect(keys(tokens(8)), 0, until=2.0)
    index.forget(0)
    assert index.match(keys(tokens(8)), 1).tolist() == [0]
    assert (index.entries, index.blocks, len(index.speculation)) == (0, 0, 0)


def test_adapters_do_not_share_blocks_with_their_base_model(index: PreciseIndex) -> None:
    index.apply(0, stored([1], tokens(4), adapter="sql"))
    assert index.match(keys(tokens(4)), 1).tolist() == [0]
    assert index.match(keys(tokens(4), adapter="sql"), 1).tolist() == [1]
    assert index.adapters == {"sql"}


def test_media_and_salts_keep_equal_tokens_apart(index: PreciseIndex) -> None:
    index.apply(0, stored([1, 2], tokens(8), extras=(("salt",), ())))
    assert index.match(keys(tokens(8)), 1).tolist() == [0]
    salted = prompt_keys(packed(tokens(8)), "", 4, EVERYTHING, {0: ("salt",)})
    assert index.match(salted, 1).tolist() == [2]


# -- media -----------------------------------------------------------------------------------------------------------


def test_a_block_in_host_memory_counts_less(index: PreciseIndex) -> None:
    index.apply(0, stored([1, 2, 3, 4], tokens(16)))
    index.apply(0, stored([3, 4], [], medium="cpu"))
    index.apply(0, Removed([3, 4]))
    index.apply(1, stored([1, 2, 3, 4], tokens(16)))
    assert index.match(keys(tokens(16)), 2).tolist() == pytest.approx([2 + 2 * 0.8, 4])


def test_the_better_memory_counts_for_a_block_in_both(index: PreciseIndex) -> None:
    index.apply(0, stored([1], tokens(4)))
    index.apply(0, stored([1], [], medium="cpu"))
    assert index.match(keys(tokens(4)), 1).tolist() == [1]


def test_a_copy_of_an_unknown_block_is_not_taken_in(index: PreciseIndex) -> None:
    index.apply(0, stored([9], [], medium="cpu"))
    assert (index.entries, index.tally.orphaned) == (0, 1)


def test_other_memories_are_not_looked_at(index: PreciseIndex) -> None:
    index.apply(0, stored([1], tokens(4), medium="storage"))
    index.apply(0, Removed([1], "storage"))
    assert index.entries == 0


def test_weights_are_the_configurations() -> None:
    index = PreciseIndex(4, {"gpu": 0.5, "storage": 0.25})
    index.apply(0, stored([1], tokens(4)))
    index.apply(1, stored([1], tokens(4), medium="storage"))
    assert index.match(keys(tokens(4)), 2).tolist() == [0.5, 0.25]


# -- block sizes -----------------------------------------------------------------------------------------------------


def test_one_block_of_the_engine_may_be_several_of_ours(index: PreciseIndex) -> None:
    index.apply(0, stored([1, 2], tokens(16), size=8))
    assert index.match(keys(tokens(16)), 1).tolist() == [4]
    index.apply(0, Removed([2]))
    assert index.match(keys(tokens(16)), 1).tolist() == [2]


def test_several_blocks_of_the_engine_may_be_one_of_ours(index: PreciseIndex) -> None:
    index.apply(0, stored([1, 2, 3], tokens(6), size=2))
    assert index.match(keys(tokens(8)), 1).tolist() == [1]
    index.apply(0, stored([4], tokens(2, first=6), size=2, parent=3))
    assert index.match(keys(tokens(8)), 1).tolist() == [2]


def test_a_part_that_comes_back_completes_the_block_again(index: PreciseIndex) -> None:
    index.apply(0, stored([1, 2, 3, 4], tokens(8), size=2))
    index.apply(0, Removed([1]))
    assert index.match(keys(tokens(8)), 1).tolist() == [0]
    index.apply(0, stored([1], tokens(2), size=2))
    assert index.match(keys(tokens(8)), 1).tolist() == [2]


@pytest.mark.parametrize("size", [3, 6])
def test_sizes_that_do_not_divide_are_not_taken_in(index: PreciseIndex, size: int) -> None:
    index.apply(0, stored([1, 2], tokens(2 * size), size=size))
    assert (index.entries, index.tally.unaligned) == (0, 2)


# -- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 4, 8])
def test_a_full_index_knows_less_and_nothing_wrong(size: int) -> None:
    index = PreciseIndex(4, size=3)
    index.apply(0, stored([1, 2, 3, 4, 5], tokens(5 * size), size=size))
    assert (index.entries, index.tally.overflowed) == (3, 2)
    assert index.match(keys(tokens(5 * size)), 1).tolist() == [3 * size // 4]
    index.apply(0, Removed([1, 2, 3]))
    assert (index.entries, index.blocks) == (0, 0)


@pytest.mark.parametrize(("block_size", "size"), [(0, 1), (1, 0)])
def test_sizes_must_be_positive(block_size: int, size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        PreciseIndex(block_size, size=size)


# -- expectations ----------------------------------------------------------------------------------------------------


def test_what_was_sent_somewhere_is_expected_there_for_a_while(index: PreciseIndex) -> None:
    chain = keys(tokens(8))
    index.speculation.expect(chain, 1, until=2.0)
    index.speculation.settle(1.9)
    assert index.match(chain, 2).tolist() == [0, 2]
    index.speculation.settle(2.0)
    assert index.match(chain, 2).tolist() == [0, 0]


def test_an_expectation_goes_with_the_last_request_that_raised_it(index: PreciseIndex) -> None:
    chain = keys(tokens(8))
    first = index.speculation.expect(chain, 0, until=2.0)
    second = index.speculation.expect(chain[:1], 0, until=2.0)
    index.speculation.give_up(first)
    assert index.match(chain, 1).tolist() == [1]
    index.speculation.give_up(second)
    index.speculation.give_up(second)
    assert index.match(chain, 1).tolist() == [0]


def test_a_report_goes_on_where_an_expectation_ends(index: PreciseIndex) -> None:
    index.apply(0, stored([1], tokens(4)))
    index.speculation.expect(keys(tokens(12)), 0, until=2.0)
    assert index.match(keys(tokens(12)), 1).tolist() == [3]


# -- against a naive model -------------------------------------------------------------------------------------------

PATHS = [(0,), (0, 1), (0, 1, 2), (0, 1, 3), (0, 4), (5,), (5, 1), (5, 1, 2), (0, 1, 2, 6)]
"""Engine's blocks as paths of small numbers: a block is named by the whole path, its tokens come of the last number."""

ROWS = 3
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.integers(0, ROWS - 1), st.sampled_from(PATHS), st.sampled_from(["gpu", "cpu"])),
        st.tuples(st.just("remove"), st.integers(0, ROWS - 1), st.sampled_from(PATHS), st.sampled_from(["gpu", "cpu"])),
        st.tuples(st.just("clear"), st.integers(0, ROWS - 1), st.just(()), st.just("")),
        st.tuples(st.just("forget"), st.integers(0, ROWS - 1), st.just(()), st.just("")),
    ),
    max_size=60,
)


def ids_of(path: Sequence[int], size: int) -> list[int]:
    return [100 * number + place for number in path for place in range(size)]


def named(path: Sequence[int], row: int) -> int:
    return hash((row, tuple(path))) & (2**64 - 1)


@given(OPERATIONS, st.sampled_from([4, 8, 2, 1]))
def test_the_index_equals_what_the_engines_hold(
    operations: list[tuple[str, int, tuple[int, ...], str]], size: int
) -> None:
    ours = 4
    index = PreciseIndex(ours)
    engines = {(row, medium): Counter[tuple[int, ...]]() for row in range(ROWS) for medium in ("gpu", "cpu")}
    for what, row, path, medium in operations:
        if what == "store":
            parent = path[:-1]
            known = not parent or any(engines[row, other][parent] for other in ("gpu", "cpu"))
            index.apply(
                row,
                stored(
                    [named(path, row)],
                    ids_of(path[-1:], size),
                    size,
                    named(parent, row) if parent else None,
                    medium=medium,
                ),
            )
            if known:
                engines[row, medium][path] += 1
        elif what == "remove":
            index.apply(row, Removed([named(path, row)], medium))
            engines[row, medium] -= Counter([path])
        else:
            index.apply(row, Cleared()) if what == "clear" else index.forget(row)
            for other in ("gpu", "cpu"):
                engines[row, other].clear()

    expected = {key: whole_blocks(holds, size, ours) for key, holds in engines.items()}
    for (row, medium), blocks in expected.items():
        assert index.held(row, medium) == blocks
    assert index.entries == sum(len(+holds) for holds in engines.values())
    for path in PATHS:
        chain = keys(ids_of(path, size), ours)
        scores = [score(chain, expected[row, "gpu"], expected[row, "cpu"]) for row in range(ROWS)]
        np.testing.assert_allclose(index.match(chain, ROWS), scores)
    for row in range(ROWS):
        index.forget(row)
    assert (index.entries, index.blocks) == (0, 0)


def whole_blocks(holds: Counter[tuple[int, ...]], size: int, ours: int) -> set[int]:
    """The blocks of ours whose engine's blocks are all held."""
    found = set()
    for path in +holds:
        chain = keys(ids_of(path, size), ours)
        if size >= ours:
            found.update(chain[-(size // ours) :])
        elif not len(path) * size % ours:
            parts = [path[:end] for end in range(len(path) - ours // size + 1, len(path) + 1)]
            if all(holds[part] for part in parts):
                found.add(chain[-1])
    return found


def score(chain: Sequence[int], gpu: set[int], cpu: set[int]) -> float:
    total = 0.0
    for key in chain:
        if key not in gpu | cpu:
            break
        total += 1.0 if key in gpu else 0.8
    return total


@given(st.sets(st.text(max_size=3), max_size=4))
def test_extras_have_one_form_whatever_their_order(extras: set[str]) -> None:
    assert joined([*sorted(extras), *sorted(extras)]) == joined(sorted(extras, reverse=True))
