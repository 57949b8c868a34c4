"""Prompts that are named and not written out, as the picker's index and the engines see them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.director import policy_rules
from signalbox.engine import DEFAULT_PROFILE, PROFILES, Engine, EngineConfig
from signalbox.engine import Request as EngineRequest
from signalbox.lab import Stage, TracePrefixes, TraceRequest, TruePrefixes
from signalbox.lab.stage import TracedRequest, salted, staged
from signalbox.lab.workload import chain
from signalbox.pool import Pool
from signalbox.scheduling import load_policy
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters

BLOCK = 48


def traced(number: int, tokens: int, blocks: tuple[int, ...]) -> TracedRequest:
    trace = TraceRequest(0.0, tokens, 10, blocks)
    asked = EngineRequest(str(number), tokens, 10, blocks[: tokens // BLOCK])
    return TracedRequest("base", trace, asked)


def cut(number: int, tokens: int, contents: list[int], size: int, most: int = 1000, target: str = "base") -> list[int]:
    tracker = TracePrefixes(Stage(Pool("lab"), BLOCK), PrefixIndexParameters())
    blocks = tracker.cut(traced(number, tokens, chain(contents)), target, size, most)
    assert (blocks.tokens, blocks.block_size) == (tokens, size)
    (found,) = blocks.chains
    return found


@given(
    st.lists(st.integers(0, 1), min_size=4, max_size=4),
    st.lists(st.integers(0, 1), min_size=4, max_size=4),
    st.integers(1, 4 * BLOCK),
    st.sampled_from([16, 48, 64, 100]),
)
def test_blocks_of_the_index_match_as_far_as_those_of_the_trace(
    one: list[int], other: list[int], tokens: int, size: int
) -> None:
    first, second = cut(1, tokens, one, size), cut(2, tokens, other, size)
    assert len(first) == -(-tokens // size)
    shared = next((place for place in range(4) if one[place] != other[place]), 4) * BLOCK
    for place, (a, b) in enumerate(zip(first, second, strict=True)):
        assert (a == b) == (min((place + 1) * size, tokens) <= shared)


def test_blocks_of_one_prompt_are_all_different_and_64_bits_wide() -> None:
    found = cut(1, 4000, list(range(100)), 16, most=4000)
    assert len(set(found)) == len(found) == 250
    assert all(0 <= name < 1 << 64 for name in found)
    assert len({name >> 58 for name in found}) > 40  # the index spreads by the highest bits


def test_only_so_many_tokens_are_matched() -> None:
    assert len(cut(1, 4000, list(range(100)), 64, most=1000)) == 15


def test_models_share_no_blocks() -> None:
    assert not set(cut(1, 96, [1, 2], 16)) & set(cut(1, 96, [1, 2], 16, target="adapter"))


def test_what_the_trace_does_not_name_is_like_nothing_else() -> None:
    one, other = cut(1, 96, [], 16), cut(2, 96, [], 16)
    assert not set(one) & set(other)
    partly, again = cut(3, 96, [5], 16), cut(4, 96, [5], 16)
    assert partly[:3] == again[:3]
    assert not set(partly[3:]) & set(again[3:])


def test_adapters_have_caches_of_their_own() -> None:
    blocks = chain([1, 2, 3])
    assert salted(blocks, None) == blocks
    assert not set(salted(blocks, "a")) & set(salted(blocks, "b"))
    assert salted((), "a") == ()


def test_true_prefixes_are_read_from_the_engines() -> None:
    stage = Stage(Pool("lab"), BLOCK)
    config = EngineConfig(num_gpu_blocks=100, hash_blocks=BLOCK // 16)
    for row in (0, 3):
        stage.engines[row] = Engine(PROFILES[DEFAULT_PROFILE], config)
    request = traced(1, 200, chain([1, 2, 3, 4]))
    stage.engines[3].submit(request.asked, 0.0)
    stage.engines[3].step(100.0)
    match = TruePrefixes(stage, PrefixIndexParameters()).look_up(request, "base").match
    assert match.blocks.tolist() == [0, 0, 0, 4, 0, 0, 0, 0]
    assert (match.block_size, match.tokens, match.total) == (BLOCK, 200, 5)


@pytest.mark.parametrize(
    ("producer", "expected"),
    [("approx-prefix-cache-producer", TracePrefixes), ("precise-prefix-cache-producer", TruePrefixes)],
)
def test_a_precise_index_reads_the_engines_and_an_approximate_one_what_was_sent(
    producer: str, expected: type[TracePrefixes]
) -> None:
    """There are no KV events here to fill a precise index with."""
    text = (
        "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
        f"plugins: [{{type: {producer}}}, {{type: prefix-cache-scorer}}]\n"
        "schedulingProfiles: [{name: default, plugins: [{pluginRef: prefix-cache-scorer}]}]\n"
    )
    stage = Stage(Pool("lab"), BLOCK)
    assert type(staged(policy_rules(load_policy(text, name="it"), stage.pool), stage).prefix) is expected
