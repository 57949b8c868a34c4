"""Runs of batches in which only tokens are counted, and prefix caches that go by several blocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.engine import DEFAULT_PROFILE, PROFILES, BlockPool, Engine, EngineConfig, Request, RequestState
from signalbox.engine.decoding import DecodingSet
from signalbox.engine.run import DecodeRun

MakeEngine = Callable[..., Engine]
RUNS = st.builds(
    DecodeRun, start=st.floats(0, 1e4), tick=st.just(0), first=st.floats(1e-4, 10), growth=st.floats(0, 1e-2)
)


@given(RUNS, st.integers(1, 5000))
def test_batches_end_one_after_the_other(run: DecodeRun, batch: int) -> None:
    lengths = [run.end(number) - run.end(number - 1) for number in (batch, batch + 1)]
    assert lengths[0] == pytest.approx(run.first + run.growth * (batch - 1), rel=1e-6)
    assert lengths[1] == pytest.approx(run.first + run.growth * batch, rel=1e-6)


@given(RUNS, st.floats(0, 2e4))
def test_the_batches_that_ended_by_some_time_are_counted_exactly(run: DecodeRun, now: float) -> None:
    count = run.ended_by(now)
    assert count >= 0
    assert count == 0 or run.end(count) <= now
    assert run.end(count + 1) > now


def test_a_jump_lists_every_batch_where_that_is_asked_for(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.submit(Request("a", 4, 6), 0.0)
    result = engine.step(100.0)
    assert result.batch_tokens == [4, 1, 1, 1, 1, 1]
    assert result.inter_token == [(1.0, 1)] * 5


ARRIVALS = st.lists(st.tuples(st.floats(0, 8), st.integers(1, 40), st.integers(1, 60)), min_size=1, max_size=10)


@given(ARRIVALS, st.integers(18, 40))
def test_leaving_out_single_batches_changes_no_time(arrivals: list[tuple[float, int, int]], blocks: int) -> None:
    config = EngineConfig(num_gpu_blocks=blocks, block_size=8, max_num_seqs=4, max_num_batched_tokens=16)
    engines = [Engine(PROFILES[DEFAULT_PROFILE], config, each_batch=each) for each in (True, False)]
    states: list[list[RequestState]] = [[], []]
    for engine, own in zip(engines, states, strict=True):
        for number, (at, prompt, output) in enumerate(sorted(arrivals)):
            engine.step(at)
            own.append(engine.submit(Request(str(number), prompt, output), at))
        result = engine.step(1e6)
        assert (engine is engines[0]) == bool(result.batch_tokens)
    for one, other in zip(*states, strict=True):
        assert (one.first_token_at, one.finished_at) == (other.first_token_at, other.finished_at)
    assert engines[0].stats() == engines[1].stats()
    assert engines[0].stats().live_blocks == 0


def test_preemption_gives_back_blocks_that_were_taken_in_jumps(make_engine: MakeEngine) -> None:
    engine = make_engine(num_gpu_blocks=12)
    first = engine.submit(Request("a", 4, 40), 0.0)
    second = engine.submit(Request("b", 4, 40), 0.0)
    result = engine.step(1000.0)
    assert result.finished == [first, second]
    assert second.preemptions > 0
    assert engine.stats().live_blocks == 0


# -- hashes for several blocks ----------------------------------------------------------------------------------------


def test_blocks_of_one_hash_are_shared_and_evicted_together() -> None:
    pool = BlockPool(10, hash_blocks=4)
    assert pool.allocate(5)
    assert pool.publish([111]) == [111]
    assert (pool.live, pool.free) == (5, 5)
    pool.release([111], 1)
    assert (pool.live, pool.idle, pool.free) == (0, 4, 10)
    assert pool.allocate(6)
    assert pool.idle == 4
    assert pool.allocate(1)
    assert (pool.idle, pool.live) == (0, 7)  # one block was needed; all four of the hash went


def test_prompts_are_found_by_whole_hashes_and_memory_is_taken_by_blocks(make_engine: MakeEngine) -> None:
    engine = make_engine(hash_blocks=2)  # of 4 tokens each
    engine.submit(Request("a", 19, 1, block_hashes=(1, 2)), 0.0)
    engine.step(0.0)
    assert engine.stats().live_blocks == 5
    engine.step(10.0)
    again = Request("b", 19, 1, block_hashes=(1, 2))
    other = Request("c", 19, 1, block_hashes=(1, 7))
    assert (engine.cached_tokens(again), engine.cached_tokens(other)) == (16, 8)
    state = engine.submit(again, 10.0)
    engine.step(20.0)
    assert state.cached_tokens == 16


def test_looking_into_the_cache_leaves_it_as_it_is(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.submit(Request("a", 8, 1, block_hashes=(1, 2)), 0.0)
    engine.step(10.0)
    before = engine.stats()
    assert engine.cached_tokens(Request("b", 8, 1, block_hashes=(1, 2))) == 4  # the last token is always computed
    assert engine.stats() == before
    assert make_engine(prefix_caching=False).cached_tokens(Request("b", 8, 1, block_hashes=(1, 2))) == 0


# -- the set of decoding sequences ------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(2, 60), st.integers(0, 9)), min_size=1, max_size=8),
    st.integers(1, 8),
    st.data(),
)
def test_a_jump_is_the_same_as_its_batches_one_by_one(
    sequences: list[tuple[int, int, int]], block_size: int, data: st.DataObject
) -> None:
    jumping, walking = DecodingSet(block_size), DecodingSet(block_size)
    states = [
        [RequestState(Request(str(number), prompt, output), 0.0, number) for number, (prompt, output, _) in pairs]
        for pairs in (list(enumerate(sequences)),) * 2
    ]
    for ahead in range(10):  # they begin in different batches
        for number, (_, _, start) in enumerate(sequences):
            if start == ahead:
                for decoding, own in zip((jumping, walking), states, strict=True):
                    own[number].private = 0
                    decoding.begin(own[number])
        if ahead < 9 and any(start > ahead for _, _, start in sequences) and _nobody_ends(jumping):
            for decoding in (jumping, walking):
                decoding.advance()
    if not _nobody_ends(jumping):
        return
    count = data.draw(st.integers(1, jumping.batches_to_an_end() - 1))
    blocks = 0
    for _ in range(count):
        due = walking.due()
        blocks += len(due)
        for state in due:
            state.private += 1
        walking.advance()
    assert jumping.blocks_for(count) == blocks
    jumping.jump(count)
    assert (jumping.tick, jumping.kv_tokens, jumping.count) == (walking.tick, walking.kv_tokens, walking.count)
    for one, other in zip(*states, strict=True):
        for decoding, state in ((jumping, one), (walking, other)):
            state.base_generated = decoding.generated(state)
            decoding.leave(state)
        assert one.private == other.private
    assert (jumping.kv_tokens, jumping.count) == (0, 0)


def _nobody_ends(decoding: DecodingSet) -> bool:
    return decoding.count > 0 and decoding.batches_to_an_end() > 1
