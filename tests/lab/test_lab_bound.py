"""The bound follows from lengths and arithmetic, and no policy of the lab exceeds it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.engine import PROFILES, EngineConfig
from signalbox.lab import Server, TraceRequest, Workload, replay
from signalbox.lab.bound import highest_speed
from signalbox.lab.policies import POLICIES
from signalbox.lab.slo import Slo
from signalbox.lab.workload import chain


def cheap_server(**profile: float) -> Server:
    """Nothing costs anything but what is said; batches of 100 tokens."""
    free = {"step_seconds": 0.0, "prefill_seconds": 0.0, "decode_seconds": 0.0, "kv_read_seconds": 0.0}
    costs: dict[str, Any] = free | profile
    made = replace(PROFILES["llama-3.1-8b-h100"], **costs)
    return Server(made, EngineConfig(10_000, block_size=10, max_num_seqs=10, max_num_batched_tokens=100))


def prompts(*times: float, tokens: int = 100, output: int = 1, priority: int = 0, shared: bool = False) -> Workload:
    requests = tuple(
        TraceRequest(at, tokens, output, chain([0 if shared else number] * (tokens // 10)), priority=priority)
        for number, at in enumerate(times)
    )
    return Workload("w", requests, 10)


def limit(workload: Workload, *servers: Server, ttft: float = 1.0, tpot: float = 1.0) -> float:
    return highest_speed(workload, lambda seconds: servers, Slo(ttft, tpot))


SECOND_A_PROMPT = cheap_server(prefill_seconds=0.01)


def test_prompts_of_a_second_each_every_second() -> None:
    """Nine prompts in 8 seconds at speed 1. All nine seconds of work are due 8 / speed + ttft after the first came."""
    assert limit(prompts(*range(9)), SECOND_A_PROMPT) == pytest.approx(1.0, rel=1e-3)
    assert limit(prompts(*range(9)), SECOND_A_PROMPT, ttft=5.0) == pytest.approx(2.0, rel=1e-3)
    assert limit(prompts(*range(9)), SECOND_A_PROMPT, SECOND_A_PROMPT, ttft=0.5) == pytest.approx(2.0, rel=1e-3)


def test_a_server_counts_from_when_it_joins() -> None:
    late = replace(SECOND_A_PROMPT, joins=2.0)
    # 8 / speed + 2 of the one and 8 / speed of the other make nine seconds.
    assert limit(prompts(*range(9)), SECOND_A_PROMPT, late, ttft=2.0) == pytest.approx(16 / 7, rel=1e-3)


def test_one_request_in_ten_may_be_late() -> None:
    """Of eleven one may: ten seconds of work in 10 / speed + 1."""
    assert limit(prompts(*range(11)), SECOND_A_PROMPT) == pytest.approx(10 / 9, rel=1e-3)


def test_a_prompt_that_came_before_costs_its_last_block() -> None:
    # The first costs a second, the eight others a tenth each: 1.8 seconds in 8 / speed + 1.
    assert limit(prompts(*range(9), shared=True), SECOND_A_PROMPT) == pytest.approx(10.0, rel=1e-3)


def test_answers_are_due_at_their_pace() -> None:
    """Nine answers of eleven tokens, each token after the first a tenth of a second of work, due two seconds after the
    last prompt came: nine seconds in 8 / speed + 2."""
    decoding = cheap_server(decode_seconds=0.1)
    work = prompts(*range(9), tokens=10, output=11)
    assert limit(work, decoding, ttft=1.0, tpot=0.1) == pytest.approx(8 / 7, rel=1e-3)


def test_every_token_reads_what_is_before_it() -> None:
    """A prompt of 10 tokens is read once when it is complete, and with the answer's n tokens for each n up to 3."""
    reading = cheap_server(kv_read_seconds=0.01)
    work = prompts(*range(9), tokens=10, output=4)
    seconds = 9 * 0.01 * (10 + 11 + 12 + 13)
    assert limit(work, reading, ttft=0.5, tpot=0.1) == pytest.approx(8 / (seconds - 0.8), rel=1e-3)


def test_steps_are_shared_by_full_batches() -> None:
    """A step of a second takes 100 tokens of prompts."""
    assert limit(prompts(*range(9)), cheap_server(step_seconds=1.0)) == pytest.approx(1.0, rel=1e-3)
    # Or ten answers: 9 answers of 10 tokens after their first take nine steps.
    few = prompts(*range(9), tokens=1, output=11)
    assert limit(few, cheap_server(step_seconds=1.0), ttft=0.5, tpot=0.05) == pytest.approx(8 / 8, rel=1e-3)


def test_work_goes_to_who_is_best_at_it() -> None:
    """Prompts take the one server a second and the other two: together they do three in two seconds."""
    slow = SECOND_A_PROMPT.slowed(2.0)
    assert limit(prompts(*range(9)), SECOND_A_PROMPT, slow) == pytest.approx(1.6, rel=1e-3)


def test_what_may_be_refused_does_not_count_beside_what_may_not() -> None:
    both = prompts(*range(9)).requests + prompts(*range(9), priority=-1).requests
    work = Workload("w", tuple(sorted(both, key=lambda one: one.at)), 10)
    assert limit(work, SECOND_A_PROMPT) == pytest.approx(1.0, rel=1e-3)
    assert limit(prompts(*range(9), priority=-1), SECOND_A_PROMPT) == pytest.approx(1.0, rel=1e-3)


def test_what_is_impossible_alone_is_impossible_at_any_speed() -> None:
    assert limit(prompts(0.0, 9.0, 18.0), SECOND_A_PROMPT, ttft=0.5) == 0.0


def test_nothing_speaks_against_what_costs_nothing() -> None:
    assert limit(prompts(0.0, 1.0), cheap_server()) == float("inf")
    assert limit(Workload("none", ()), SECOND_A_PROMPT) == float("inf")


REQUESTS = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 90), st.integers(1, 20), st.lists(st.integers(0, 2), max_size=6)),
    min_size=2,
    max_size=25,
)


@settings(max_examples=60)
@given(REQUESTS, st.sampled_from(["oracle", "least-request", "round-robin"]), st.floats(0.5, 8.0))
def test_no_policy_does_better(requests: list[tuple[float, int, int, list[int]]], policy: str, slowness: float) -> None:
    """Where a policy keeps an SLO, just so, the bound must not say that nobody can."""
    made = [
        TraceRequest(at, prompt, output, chain(blocks)[: -(-prompt // 10)]) for at, prompt, output, blocks in requests
    ]
    work = Workload("drawn", tuple(sorted(made, key=lambda one: one.at)), 10)
    config = EngineConfig(40, block_size=10, max_num_seqs=4, max_num_batched_tokens=32)
    one = Server(PROFILES["llama-3.1-8b-h100"], config).slowed(slowness)
    servers = (one, one.slowed(2.0))
    outcome = replay(work, servers, POLICIES[policy])
    ranked = sorted(outcome.ttft.tolist()), sorted(np.nan_to_num(outcome.tpot).tolist())
    place = len(made) - 1 - (len(made) - 1) // 10
    slo = Slo(ranked[0][place] + 1e-9, max(ranked[1][place], 1e-9) + 1e-9)
    assert slo.held(outcome)
    assert highest_speed(work, lambda seconds: servers, slo) >= 1.0 - 1e-6
