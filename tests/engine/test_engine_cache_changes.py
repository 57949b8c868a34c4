"""An engine tells whoever listens what becomes of its prefix cache, so that a copy of it can be kept."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.engine import DEFAULT_PROFILE, PROFILES, Cached, Engine, EngineConfig, Evicted, Request, chain_hashes

SIZE = 4


def engine(blocks: int = 64) -> Engine:
    config = EngineConfig(blocks, SIZE, max_num_seqs=4, max_num_batched_tokens=64, max_model_len=blocks * SIZE)
    made = Engine(PROFILES[DEFAULT_PROFILE], config)
    made.listen_to_cache()
    return made


def request(name: str, tokens: Sequence[int], output: int = 1) -> Request:
    everything = [*tokens, *range(5000, 5000 + output)]
    return Request(
        name,
        len(tokens),
        output,
        chain_hashes(tokens, SIZE),
        tokens_between=lambda start, stop: everything[start:stop],
    )


def test_a_prompt_and_its_answer_are_told_with_their_tokens() -> None:
    subject = engine()
    prompt = list(range(10))
    subject.submit(request("a", prompt, 8), 0.0)
    subject.step(100.0)
    changes = subject.cache_changes()
    assert all(isinstance(change, Cached) for change in changes)
    stored = [change for change in changes if isinstance(change, Cached)]
    everything = [*prompt, *range(5000, 5008)]
    assert [token for change in stored for token in change.tokens] == everything[: 17 // SIZE * SIZE]
    assert [block for change in stored for block in change.hashes] == chain_hashes(everything[:16], SIZE)
    parents = [None, *[change.hashes[-1] for change in stored[:-1]]]
    assert [change.parent for change in stored] == parents
    assert subject.cache_changes() == []


def test_what_is_cached_already_is_not_told_again() -> None:
    subject = engine()
    for name in ("a", "b"):
        subject.submit(request(name, list(range(12))), 0.0)
        subject.step(100.0)
    assert sum(len(change.hashes) for change in subject.cache_changes()) == 3


def test_nobody_listening_costs_nothing() -> None:
    subject = Engine(PROFILES[DEFAULT_PROFILE], EngineConfig(64, SIZE, 4, 64, 256))
    subject.submit(request("a", list(range(12))), 0.0)
    subject.step(100.0)
    assert subject.cache_changes() == []


def test_a_copy_of_an_engine_tells_nobody() -> None:
    subject = engine()
    copy = subject.fork()
    copy.submit(request("a", list(range(12))), 0.0)
    copy.step(100.0)
    assert copy.cache_changes() == []
    assert subject.cache_changes() == []


@pytest.mark.parametrize("blocks", [12, 24])
@given(prompts=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8), st.integers(1, 6)), min_size=1, max_size=25))
def test_what_was_told_is_what_is_cached(blocks: int, prompts: list[tuple[int, int, int]]) -> None:
    subject = engine(blocks)
    held: set[int] = set()
    for number, (family, length, output) in enumerate(prompts):
        tokens = [100 * family + position for position in range(length * 3)]
        subject.submit(request(str(number), tokens, output), float(number))
        subject.step(float(number) + 0.01)
        for change in subject.cache_changes():
            if isinstance(change, Evicted):
                assert held.issuperset(change.hashes)
                held.difference_update(change.hashes)
            else:
                assert held.isdisjoint(change.hashes)
                assert change.parent is None or change.parent in held
                held.update(change.hashes)
        pool = subject._memory.pool
        assert held == {*pool._references, *pool._idle}
