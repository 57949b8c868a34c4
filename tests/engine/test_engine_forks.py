"""A fork of an engine goes the way the engine would have gone, and the engine does not notice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.engine import DEFAULT_PROFILE, PROFILES, Engine, EngineConfig, Request, RequestState

REQUESTS = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.integers(1, 60),
        st.integers(1, 20),
        st.lists(st.integers(1, 9), max_size=4),
        st.sampled_from([None, None, "x", "y"]),
    ),
    min_size=1,
    max_size=20,
)
FAR = 1e9


def small_engine() -> Engine:
    """A cache far too small for all, one LoRA slot, steps of about a second."""
    config = EngineConfig(
        num_gpu_blocks=30, block_size=4, max_num_seqs=4, max_num_batched_tokens=16, max_loras=1, max_cpu_loras=2
    )
    engine = Engine(replace(PROFILES[DEFAULT_PROFILE], step_seconds=1.0, kv_read_seconds=1e-3), config)
    for name in ("x", "y"):
        engine.load_adapter(name, 0.0)
    return engine


def submitted(engine: Engine, requests: list[tuple[float, int, int, list[int], str | None]]) -> list[RequestState]:
    states = []
    for number, (at, prompt, output, blocks, adapter) in enumerate(sorted(requests, key=lambda one: one[:3])):
        engine.step(at)
        hashes = tuple(blocks[: prompt // 4])
        states.append(engine.submit(Request(str(number), prompt, output, hashes, adapter), at))
    return states


def course(state: RequestState) -> tuple[object, ...]:
    return (
        state.request.id,
        state.phase,
        state.scheduled_at,
        state.first_token_at,
        state.finished_at,
        state.cached_tokens,
        state.preemptions,
    )


@settings(max_examples=80)
@given(REQUESTS)
def test_a_fork_goes_the_way_the_engine_would_have_gone(
    requests: list[tuple[float, int, int, list[int], str | None]],
) -> None:
    engine = small_engine()
    submitted(engine, requests)
    waiting = engine.in_flight
    fork = engine.fork()
    twins = fork.in_flight
    fork.step(FAR)
    assert engine.in_flight == waiting  # it has not moved
    engine.step(FAR)
    assert [course(state) for state in twins] == [course(state) for state in waiting]
    assert fork.stats() == engine.stats()


@settings(max_examples=80)
@given(REQUESTS, st.integers(1, 60), st.integers(1, 20))
def test_what_a_fork_is_told_changes_nothing_for_the_engine(
    requests: list[tuple[float, int, int, list[int], str | None]], prompt: int, output: int
) -> None:
    alone, engine = small_engine(), small_engine()
    undisturbed, states = submitted(alone, requests), submitted(engine, requests)
    fork = engine.fork()
    at = max(one[0] for one in requests)
    fork.submit(Request("another", prompt, output, (1, 2)[: prompt // 4]), at)
    fork.cancel(states[-1].request.id, at)
    fork.load_adapter("z", at)
    fork.step(FAR)
    alone.step(FAR)
    engine.step(FAR)
    assert [course(state) for state in states] == [course(state) for state in undisturbed]
    assert engine.stats() == alone.stats()
    assert engine.adapters.in_host_memory == alone.adapters.in_host_memory


@settings(max_examples=80)
@given(REQUESTS)
def test_nothing_comes_of_an_engine_before_it_says(
    requests: list[tuple[float, int, int, list[int], str | None]],
) -> None:
    """And going from one such moment to the next ends everybody at the times a single long step does."""
    at_once, engine = small_engine(), small_engine()
    expected, states = submitted(at_once, requests), submitted(engine, requests)
    at_once.step(FAR)
    while (moment := engine.next_outcome) is not None:
        result = engine.step(moment)
        times = [state.first_token_at for state in result.first_tokens]
        times += [state.finished_at for state in result.finished]
        assert all(at == moment for at in times)
    assert [course(state) for state in states] == [course(state) for state in expected]


def test_a_fork_takes_a_request_that_the_engine_never_sees() -> None:
    engine = small_engine()
    engine.submit(Request("a", 8, 3), 0.0)
    fork = engine.fork()
    state = fork.submit(Request("b", 8, 3), 0.0)
    fork.step(FAR)
    assert state.finished_at is not None
    assert [one.request.id for one in engine.in_flight] == ["a"]
    with pytest.raises(ValueError, match="'a': the id is in use"):
        engine.fork().submit(Request("a", 8, 3), 0.0)
