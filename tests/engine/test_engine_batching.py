from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.engine import (
    DEFAULT_PROFILE,
    PROFILES,
    Engine,
    EngineConfig,
    EngineProfile,
    Phase,
    Request,
    RequestState,
    RequestTooLarge,
)

MakeEngine = Callable[..., Engine]


def plain(name: str, prompt: int, output: int) -> Request:
    return Request(id=name, prompt_tokens=prompt, output_tokens=output)


def finish_times(engine: Engine, until: float = 1e6) -> dict[str, float | None]:
    return {state.request.id: state.finished_at for state in engine.step(until).finished}


def test_an_idle_engine_has_nothing_to_do(make_engine: MakeEngine) -> None:
    assert make_engine().step(5.0).next_at is None


def test_one_request_gets_one_token_per_step(make_engine: MakeEngine) -> None:
    engine = make_engine()
    state = engine.submit(plain("a", 10, 3), 2.0)
    assert engine.step(2.0).next_at == 3.0
    assert (state.phase, engine.generated(state)) == (Phase.PREFILL, 0)
    first = engine.step(3.0)
    assert (first.first_tokens, first.tokens, first.next_at) == ([state], 1, 4.0)
    assert engine.generated(state) == 1
    rest = engine.step(5.0)
    assert (rest.finished, rest.tokens, rest.next_at) == ([state], 2, None)
    assert rest.inter_token == [(1.0, 1), (1.0, 1)]
    times = (state.queue_seconds, state.prefill_seconds, state.first_token_seconds, state.decode_seconds)
    assert (*times, state.total_seconds) == (0.0, 1.0, 1.0, 2.0, 3.0)


def test_calling_before_the_batch_ends_changes_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.submit(plain("a", 10, 3), 0.0)
    assert engine.step(0.0).next_at == 1.0
    early = engine.step(0.5)
    assert (early.next_at, early.duration, early.tokens) == (1.0, 1.0, 0)


def test_a_step_costs_what_the_profile_says() -> None:
    profile = replace(
        PROFILES[DEFAULT_PROFILE], step_seconds=1.0, prefill_seconds=0.1, decode_seconds=0.01, kv_read_seconds=0.001
    )
    engine = Engine(profile, EngineConfig(num_gpu_blocks=100))
    engine.submit(plain("a", 20, 2), 0.0)
    assert engine.step(0.0).duration == pytest.approx(1.0 + 20 * 0.1 + 20 * 0.001)
    assert engine.step(3.02).duration == pytest.approx(1.0 + 0.01 + 21 * 0.001)  # prompt and first token are read


def test_who_arrives_during_a_batch_joins_the_next(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.submit(plain("a", 4, 4), 0.0)
    engine.step(0.0)
    late = engine.submit(plain("b", 4, 1), 0.5)
    engine.step(1.0)
    assert late.scheduled_at == 1.0
    assert late.queue_seconds == 0.5


def test_a_late_caller_does_not_admit_requests_before_they_arrived(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.submit(plain("a", 4, 2), 0.0)
    engine.step(0.0)
    late = engine.submit(plain("b", 4, 1), 7.0)  # the batch of "a" ended long ago, nobody has asked since
    assert finish_times(engine) == {"a": 2.0, "b": 8.0}
    assert late.scheduled_at == 7.0


def test_no_more_sequences_than_max_num_seqs_run_and_the_rest_wait_in_order(make_engine: MakeEngine) -> None:
    engine = make_engine(max_num_seqs=2)
    for name in "abcd":
        engine.submit(plain(name, 4, 2), 0.0)
    engine.step(0.0)
    assert (engine.stats().running, engine.stats().waiting) == (2, 2)
    assert finish_times(engine) == {"a": 2.0, "b": 2.0, "c": 4.0, "d": 4.0}


@pytest.mark.parametrize(
    ("prompt", "first_token"), [(10, 1.0), (11, 2.0), (20, 2.0), (21, 3.0)], ids=["fits", "one over", "twice", "thrice"]
)
def test_a_prompt_over_the_token_budget_is_prefilled_in_chunks(
    make_engine: MakeEngine, prompt: int, first_token: float
) -> None:
    engine = make_engine(max_num_batched_tokens=10)
    state = engine.submit(plain("a", prompt, 1), 0.0)
    engine.step(100.0)
    assert state.first_token_at == first_token


def test_decoding_sequences_come_before_prefill_in_the_budget(make_engine: MakeEngine) -> None:
    engine = make_engine(max_num_batched_tokens=10)
    engine.submit(plain("a", 4, 9), 0.0)
    engine.step(0.0)
    engine.submit(plain("b", 18, 1), 0.5)
    assert engine.step(3.0).batch_tokens == [4, 10, 10]  # "a"; then one token of "a" and nine of "b", twice


def test_the_rest_of_the_budget_goes_to_the_next_in_line(make_engine: MakeEngine) -> None:
    engine = make_engine(max_num_batched_tokens=10)
    engine.submit(plain("a", 6, 1), 0.0)
    second = engine.submit(plain("b", 8, 1), 0.0)
    assert engine.step(2.0).batch_tokens == [10, 4]
    assert second.first_token_at == 2.0


@pytest.mark.parametrize(
    ("limits", "prompt", "output", "fits"),
    [
        ({"max_model_len": 20}, 15, 5, True),
        ({"max_model_len": 20}, 15, 6, False),
        ({"num_gpu_blocks": 5}, 15, 6, True),  # the last token's KV is never stored
        ({"num_gpu_blocks": 5}, 15, 7, False),
    ],
)
def test_what_can_never_fit_is_refused_up_front(
    make_engine: MakeEngine, limits: dict[str, int], prompt: int, output: int, fits: bool
) -> None:
    engine = make_engine(**limits)
    if fits:
        engine.submit(plain("a", prompt, output), 0.0)
        assert list(finish_times(engine)) == ["a"]
    else:
        with pytest.raises(RequestTooLarge, match="'a'"):
            engine.submit(plain("a", prompt, output), 0.0)


@pytest.mark.parametrize(("prompt", "output"), [(0, 1), (1, 0)])
def test_a_request_without_tokens_is_an_error(make_engine: MakeEngine, prompt: int, output: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        make_engine().submit(plain("a", prompt, output), 0.0)


def test_an_id_is_used_once_at_a_time(make_engine: MakeEngine) -> None:
    engine = make_engine()
    engine.submit(plain("a", 4, 1), 0.0)
    with pytest.raises(ValueError, match="in use"):
        engine.submit(plain("a", 4, 1), 0.0)
    engine.step(10.0)
    assert engine.submit(plain("a", 4, 1), 10.0).arrival == 10.0


@pytest.mark.parametrize(
    ("prompt", "at", "phase"), [(4, None, Phase.WAITING), (60, 0.0, Phase.PREFILL), (4, 1.0, Phase.DECODE)]
)
def test_cancelling_frees_slot_and_blocks_at_once(
    make_engine: MakeEngine, prompt: int, at: float | None, phase: Phase
) -> None:
    engine = make_engine(max_num_batched_tokens=32)
    state = engine.submit(plain("a", prompt, 30), 0.0)
    if at is not None:
        engine.step(at)
    assert state.phase is phase
    assert engine.cancel("a", 1.5) is state
    assert (engine.stats().running, engine.stats().waiting, engine.stats().live_blocks) == (0, 0, 0)
    assert (state.ended, state.finished_at) == (True, 1.5)
    assert engine.step(50.0).finished == []
    assert engine.cancel("a", 2.0) is None


def test_a_cancelled_request_keeps_the_tokens_it_had(make_engine: MakeEngine) -> None:
    engine = make_engine()
    state = engine.submit(plain("a", 4, 30), 0.0)
    engine.step(3.0)
    engine.cancel("a", 3.5)
    engine.step(9.0)
    assert engine.generated(state) == 3


ARRIVALS = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 40), st.integers(1, 30)), min_size=1, max_size=12)


@given(ARRIVALS, st.floats(0.3, 4.0))
def test_one_jump_gives_the_same_times_as_many_small_steps(
    arrivals: list[tuple[float, int, int]], stride: float
) -> None:
    profile: EngineProfile = PROFILES[DEFAULT_PROFILE]
    config = EngineConfig(num_gpu_blocks=24, block_size=4, max_num_seqs=4, max_num_batched_tokens=16)
    jumping, walking = (
        Engine(replace(profile, step_seconds=1.0), config),
        Engine(replace(profile, step_seconds=1.0), config),
    )

    def drive(engine: Engine, fine: bool) -> list[RequestState]:
        states, now = [], 0.0
        for number, (at, prompt, output) in enumerate(sorted(arrivals)):
            while fine and now + stride < at:
                now += stride
                engine.step(now)
            now = at
            engine.step(now)
            states.append(engine.submit(plain(str(number), prompt, output), now))
        while fine and engine.step(now).next_at is not None:
            now += stride
        engine.step(1e6)
        return states

    for jumped, walked in zip(drive(jumping, False), drive(walking, True), strict=True):
        assert jumped.finished_at == walked.finished_at
        assert jumped.first_token_at == walked.first_token_at
    assert jumping.stats() == walking.stats()


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"num_gpu_blocks": 0}, "num_gpu_blocks"),
        ({"max_num_seqs": 65}, "max_num_batched_tokens"),
        ({"max_loras": 2, "max_cpu_loras": 1}, "max_cpu_loras"),
    ],
)
def test_limits_that_cannot_work_name_their_field(make_engine: MakeEngine, limits: dict[str, int], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        make_engine(**limits)
