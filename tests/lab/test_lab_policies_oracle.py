"""The oracle tries every server in a fork of its engine, and what it foresees comes true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from signalbox.director import Rules
from signalbox.engine import PROFILES, Engine, EngineConfig, Request, RequestState
from signalbox.lab import Contender, Server, Stage, TraceRequest, Workload, replay, server
from signalbox.lab.outcome import TOO_LARGE, Outcome
from signalbox.lab.policies import POLICIES
from signalbox.lab.policies.oracle import ORACLE, PACE_SECONDS, Oracle, loss
from signalbox.lab.slo import Slo

MakeWorkload = Callable[..., Workload]


def ended(prompt: int, output: int) -> RequestState:
    """A request that was alone on an engine whose every step takes a second."""
    profile = replace(
        PROFILES["llama-3.1-8b-h100"], step_seconds=1.0, prefill_seconds=0.0, decode_seconds=0.0, kv_read_seconds=0.0
    )
    engine = Engine(profile, EngineConfig(1000, max_num_batched_tokens=256))
    state = engine.submit(Request("a", prompt, output), 0.0)
    engine.step(1e9)
    return state


def test_a_wait_counts_up_to_the_limit() -> None:
    three_steps = ended(prompt=600, output=1)
    assert loss(three_steps, Slo(ttft=4.0)) == 3.0
    assert loss(three_steps, Slo(ttft=2.0)) == 2.0


def test_a_pace_counts_by_its_fourth_power_up_to_the_limit() -> None:
    state = ended(prompt=10, output=5)  # a second to the first token, and one for each after it
    assert loss(state, Slo(tpot=2.0)) == pytest.approx(1.0 + PACE_SECONDS / 16)
    assert loss(state, Slo(tpot=1.0)) == loss(state, Slo(tpot=0.1)) == pytest.approx(1.0 + PACE_SECONDS)


def test_who_never_got_a_token_lost_both() -> None:
    engine = Engine(PROFILES["llama-3.1-8b-h100"], EngineConfig(1000))
    assert loss(engine.submit(Request("a", 8, 2), 0.0), Slo(ttft=3.0)) == 3.0 + PACE_SECONDS


def watched(workload: Workload, servers: list[Server]) -> tuple[Outcome, Oracle, Stage]:
    """Replay under the oracle."""
    seen: list[tuple[Oracle, Stage]] = []

    def rules(stage: Stage) -> Rules:
        made = ORACLE.rules(stage)
        assert isinstance(made.scheduler, Oracle)
        seen.append((made.scheduler, stage))
        return made

    outcome = replay(workload, servers, Contender("watched", rules))
    return outcome, *seen[0]


@pytest.mark.parametrize("adapters", [0, 5])
def test_what_it_foresees_comes_true(workload_of: MakeWorkload, adapters: int) -> None:
    """Of those a server got last, the losses it noted are those that came."""
    one = server("llama-3.1-8b-h100", max_loras=2, max_cpu_loras=4, num_gpu_blocks=400)
    workload = workload_of(
        *[(0.01 * n, 800 + 37 * n % 2000, 5 + n % 70, (n % 3, n % 5, n)) for n in range(80)], block_tokens=256
    )
    if adapters:
        workload = workload.with_adapters(adapters, 1.0, 0)
    outcome, oracle, _ = watched(workload, [one, one.slowed(2.0), one])
    assert outcome.complete.all()
    checked = 0
    for losses in oracle._known.values():
        for name, foreseen in losses.items():
            number = int(name)
            wait, pace = outcome.ttft[number], outcome.tpot[number] / Slo().tpot
            pace = 0.0 if outcome.output[number] == 1 else pace
            assert foreseen == pytest.approx(min(wait, 2.0) + PACE_SECONDS * min(pace, 1.0) ** 4)
            checked += 1
    assert checked >= 3


def test_it_leaves_no_trace_on_the_engines(workload_of: MakeWorkload) -> None:
    workload = workload_of(*[(0.02 * n, 900, 9) for n in range(40)], block_tokens=256)
    outcome, _, stage = watched(workload, [server("llama-3.1-8b-h100")] * 2)
    stats = [engine.stats() for engine in stage.engines.values()]
    assert sum(one.prompt_tokens for one in stats) == outcome.prompt.sum()
    assert sum(one.generation_tokens for one in stats) == outcome.output.sum()


def test_it_knows_a_slow_server_before_anything_was_learned(workload_of: MakeWorkload) -> None:
    one = server("llama-3.1-8b-h100")
    outcome, *_ = watched(workload_of((0.0, 6400, 3), block_tokens=256), [one.slowed(1.5), one])
    assert outcome.server.tolist() == [1]


def test_it_waits_for_the_batch_in_progress_where_nothing_is_queued(workload_of: MakeWorkload) -> None:
    """Prompts of 8,000 and 4,000 tokens are in their batches, and no tokens ahead on either server: the shorter one's
    is over first."""
    workload = workload_of((0.0, 8000, 3), (0.0, 4000, 3), (0.01, 500, 3), block_tokens=256)
    outcome, *_ = watched(workload, [server("llama-3.1-8b-h100")] * 2)
    assert outcome.server[2] == outcome.server[1] != outcome.server[0]


def test_it_goes_where_the_prompt_is(workload_of: MakeWorkload) -> None:
    workload = workload_of(
        (0.0, 2048, 3, range(8)), (0.0, 2048, 3, range(50, 58)), (9.0, 2048, 3, range(8)), block_tokens=256
    )
    outcome, *_ = watched(workload, [server("llama-3.1-8b-h100")] * 2)
    assert outcome.server[2] == outcome.server[0] != outcome.server[1]


def test_it_knows_how_long_an_answer_will_be(workload_of: MakeWorkload) -> None:
    """One sequence at a time: behind the short answer there is less to wait, and nothing but the trace tells."""
    one = server("llama-3.1-8b-h100", max_num_seqs=1)
    outcome, *_ = watched(workload_of((0.0, 500, 100), (0.0, 500, 5), (0.1, 500, 5), block_tokens=16), [one] * 2)
    assert outcome.server[2] == outcome.server[1] != outcome.server[0]


def test_a_request_that_fits_nowhere_is_sent_all_the_same() -> None:
    one = server("llama-3.1-8b-h100", num_gpu_blocks=10)
    outcome, *_ = watched(Workload("w", (TraceRequest(0.0, 5000, 1),)), [one] * 2)
    assert outcome.ended.tolist() == [TOO_LARGE]


def test_it_is_the_same_in_every_replay(workload_of: MakeWorkload) -> None:
    workload = workload_of(*[(0.01 * n, 1500, 9) for n in range(60)], block_tokens=256)
    servers = [server("llama-3.1-8b-h100")] * 3
    first, second = (replay(workload, servers, POLICIES["oracle"]) for _ in range(2))
    assert not first.differs(second)
