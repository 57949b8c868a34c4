"""The reference's prefix index, and each of its defects with and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from signalbox.director.prefixes import Lookup
from signalbox.lab.policies.reference_prefixes import IndexDefects, ReferencePrefixes
from signalbox.lab.stage import Stage
from signalbox.pool import Endpoint, Pool
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters
from signalbox.scheduling.prefix import PrefixMatch, PromptBlocks

SOUND = IndexDefects(four_times_capacity=False, head_first=False, gaps=False)


class Prompts(ReferencePrefixes):
    """The index over prompts that are given as their blocks."""

    def cut(self, request: Any, target: str, block_size: int, most: int) -> PromptBlocks:
        return PromptBlocks((list(request),), len(request) * block_size, block_size)

    def holds(self, blocks: str) -> list[float]:
        found: list[float] = self.look_up(list(map(ord, blocks)), "m").match.blocks[:3].tolist()  # type: ignore[arg-type]
        return found

    def route(self, blocks: str, row: int) -> None:
        chain = list(map(ord, blocks))
        match = PrefixMatch(np.zeros(8), len(chain), 64, len(chain) * 64)
        self.remember(Lookup(PromptBlocks((chain,), len(chain) * 64, 64), match), endpoint(row))


def endpoint(row: int) -> Endpoint:
    return Endpoint(f"p{row}", "default", f"p{row}", f"10.0.0.{row}", 8000, row, {})


def index(defects: IndexDefects | None = None, *, kv_blocks: int = 16) -> Prompts:
    """An index over servers of so many engine blocks of 16 tokens."""
    pool = Pool("lab")
    for row in range(3):
        pool.columns.set_capacity(row, 16, kv_blocks)
    return Prompts(Stage(pool, 64), PrefixIndexParameters(), defects)


def test_a_routed_prompt_is_held_up_to_where_another_leaves_it() -> None:
    prompts = index(SOUND)
    prompts.route("abc", 0)
    prompts.route("ab", 1)
    assert prompts.holds("abcd") == [3.0, 2.0, 0.0]
    assert prompts.holds("xbc") == [0.0, 0.0, 0.0]


def test_gaps_count_what_an_endpoint_has_after_its_own_first_gap() -> None:
    for defects, expected in ((IndexDefects(), [2.0, 3.0, 0.0]), (SOUND, [0.0, 3.0, 0.0])):
        prompts = index(defects, kv_blocks=1000)
        prompts.route("bc", 0)
        prompts.route("abc", 1)
        assert prompts.holds("abc") == expected


def test_four_times_capacity_believes_in_blocks_that_do_not_fit() -> None:
    for wrong, expected in ((True, 8.0), (False, 4.0)):
        prompts = index(IndexDefects(four_times_capacity=wrong, head_first=False, gaps=False), kv_blocks=16)
        prompts.route("abcdefgh", 0)  # the engine has room for four blocks of 64 tokens
        assert prompts.holds("abcdefgh")[0] == expected


def test_head_first_eviction_makes_the_rest_unreachable() -> None:
    for wrong, expected in ((True, 0.0), (False, 2.0)):
        prompts = index(IndexDefects(four_times_capacity=False, head_first=wrong, gaps=False), kv_blocks=16)
        prompts.route("abcd", 0)
        prompts.route("xy", 0)
        assert prompts.holds("abcd")[0] == expected
        assert prompts.holds("xy")[0] == 2.0


def test_an_endpoint_that_leaves_is_forgotten() -> None:
    prompts = index(SOUND)
    prompts.route("ab", 0)
    prompts.route("ab", 2)
    prompts.forget(endpoint(0))
    prompts.forget(endpoint(1))  # never had anything
    assert prompts.holds("ab") == [0.0, 0.0, 2.0]


@pytest.mark.parametrize("kv_blocks", [0])
def test_capacity_is_the_reference_default_where_the_engine_does_not_say(kv_blocks: int) -> None:
    prompts = index(SOUND, kv_blocks=kv_blocks)
    prompts.route("a" * 1, 0)
    assert prompts.holds("a")[0] == 1.0
