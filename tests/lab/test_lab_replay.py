from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.director import Director
from signalbox.engine import DEFAULT_PROFILE, PROFILES, EngineConfig
from signalbox.lab import Contender, Scraping, Server, Stage, TraceRequest, Workload, configured, guide, replay
from signalbox.lab.outcome import COMPLETE, REFUSED, TOO_LARGE, Outcome
from signalbox.lab.policies import POLICIES
from signalbox.lab.sampling import SAMPLES
from signalbox.lab.workload import chain
from signalbox.pool import Pool

MakeServer = Callable[..., Server]
MakeWorkload = Callable[..., Workload]

WEIGHTED = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""


def test_two_servers_by_hand(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    """Every step takes a second and one sequence runs at a time; requests go around.

    Server 0 gets requests 0 and 2. Request 0 comes at 0 and has its first token at 1 and its third and last at 3.
    Request 2 comes at 1, waits until 3 and has its only token at 4. Server 1 gets requests 1 and 3. Request 1 comes at
    0.5 and runs from then on, one token at 1.5, two at 2.5. Request 3 comes at 2, waits until 2.5; its prompt of 100
    tokens takes two steps of 64 tokens: first token at 4.5, second and last at 5.5.
    """
    servers = [second_server(max_num_seqs=1), second_server(max_num_seqs=1)]
    workload = workload_of((0.0, 10, 3), (0.5, 10, 2), (1.0, 10, 1), (2.0, 100, 2))
    outcome = replay(workload, servers, POLICIES["round-robin"])
    assert outcome.server.tolist() == [0, 1, 0, 1]
    assert outcome.ttft.tolist() == [1.0, 1.0, 3.0, 2.5]
    assert outcome.e2e.tolist() == [3.0, 2.0, 3.0, 3.5]
    assert outcome.queue.tolist() == [0.0, 0.0, 2.0, 0.5]
    assert np.array_equal(outcome.tpot, [1.0, 1.0, np.nan, 1.0], equal_nan=True)
    assert outcome.held.tolist() == [0.0] * 4
    assert outcome.seconds == 5.5


def test_a_prompt_seen_before_is_found_in_the_cache(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    workload = workload_of((0.0, 20, 1, (1, 2, 3)), (5.0, 26, 1, (1, 2, 9, 9)), (9.0, 20, 1, (7, 2, 3)))
    outcome = replay(workload, [second_server()], guide())
    assert outcome.cached.tolist() == [0, 16, 0]  # two whole blocks of 8; the third begins otherwise from its start


def test_a_prefix_policy_goes_where_the_prompt_is(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    prompts = [(float(10 * turn), 24, 1, (turn % 2, 1, 2)) for turn in range(8)]
    outcome = replay(workload_of(*prompts), [second_server(), second_server()], configured(WEIGHTED, "epp.yaml"))
    assert len({*outcome.server[::2].tolist()}) == len({*outcome.server[1::2].tolist()}) == 1
    assert (outcome.cached[2:] > 0).all()


def test_adapters_share_no_prompts(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    workload = workload_of((0.0, 24, 1, (1, 2, 3)), (10.0, 24, 1, (1, 2, 3)), (20.0, 24, 1, (1, 2, 3)))
    first, second, third = workload.requests
    requests = (first, replace_adapter(second, "b"), replace_adapter(third, "b"))
    server = second_server(max_loras=2, max_cpu_loras=2)
    outcome = replay(Workload("made", requests, 8), [server], guide())
    assert outcome.cached.tolist() == [0, 0, 16]


def replace_adapter(request: TraceRequest, adapter: str) -> TraceRequest:
    return TraceRequest(request.at, request.prompt_tokens, request.output_tokens, request.blocks, adapter=adapter)


def test_what_can_never_fit_is_told_from_what_is_refused(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    outcome = replay(workload_of((0.0, 500, 1), (1.0, 8, 2)), [second_server()], guide())
    assert outcome.ended.tolist() == [TOO_LARGE, COMPLETE]
    assert np.isnan(outcome.ttft[0])
    assert outcome.server.tolist() == [0, 0]


def test_sheddable_requests_are_refused_when_no_server_has_room(
    second_server: MakeServer, workload_of: MakeWorkload
) -> None:
    crowd = [(0.0, 8, 50)] * 20
    workload = workload_of(*crowd, (10.0, 8, 1), priority=0)
    sheddable = TraceRequest(10.0, 8, 1, priority=-1)
    outcome = replay(replace(workload, requests=(*workload.requests, sheddable)), [second_server()], guide())
    assert outcome.ended.tolist() == [COMPLETE] * 21 + [REFUSED]
    assert outcome.server[-1] == -1


def test_a_server_takes_requests_from_when_it_joins_until_it_leaves(
    second_server: MakeServer, workload_of: MakeWorkload
) -> None:
    servers = [second_server(leaves=10.0), second_server(joins=10.0)]
    workload = workload_of(*[(float(at), 8, 5) for at in range(20)])
    outcome = replay(workload, servers, POLICIES["least-request"])
    assert outcome.server.tolist() == [0] * 10 + [1] * 10
    assert (outcome.ended == COMPLETE).all()  # also those that were running when it left


def test_without_a_server_requests_are_refused(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    outcome = replay(workload_of((0.0, 8, 1), (2.0, 8, 1)), [second_server(joins=1.0)], guide())
    assert outcome.ended.tolist() == [REFUSED, COMPLETE]


def test_servers_whose_blocks_do_not_make_up_the_traces_are_an_error(
    second_server: MakeServer, workload_of: MakeWorkload
) -> None:
    with pytest.raises(ValueError, match="block_size: 4 tokens do not divide the trace's blocks of 10"):
        replay(workload_of((0.0, 8, 1), block_tokens=10), [second_server()], guide())


def test_adapters_need_slots(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    with pytest.raises(ValueError, match="max_loras"):
        replay(workload_of((0.0, 8, 1), adapter="a"), [second_server()], guide())


def test_progress_ends_with_the_number_of_requests(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    told: list[int] = []
    replay(workload_of(*[(float(at), 8, 1) for at in range(300)]), [second_server()], guide(), progress=told.append)
    assert told == [0, 256, 300]


def test_servers_are_sampled_over_the_whole_replay(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    outcome = replay(workload_of(*[(at / 2, 8, 4) for at in range(100)]), [second_server()], guide())
    samples = outcome.samples
    assert samples.running.shape == samples.kv_usage.shape == (SAMPLES, 1)
    assert samples.times[-1] == 49.5
    assert samples.running.max() == 8
    assert samples.waiting.max() > 0


def test_an_empty_workload_gives_an_empty_outcome(second_server: MakeServer) -> None:
    outcome = replay(Workload("none", ()), [second_server()], guide(), scraping=Scraping())
    assert len(outcome.arrival) == 0
    assert outcome.seconds == 0.0


# -- laws -----------------------------------------------------------------------------------------------------------

REQUESTS = st.lists(
    st.tuples(
        st.floats(0, 40),
        st.integers(1, 120),
        st.integers(1, 30),
        st.lists(st.integers(0, 2), max_size=6),
        st.sampled_from(["", "", "x", "y"]),
        st.sampled_from([0, 0, -1]),
    ),
    min_size=1,
    max_size=25,
)
NAMES = ("guide", "random", "least-request", "power-of-two", "weighted")


def small_servers(count: int) -> list[Server]:
    """Servers with caches that are far too small, of different speeds."""
    config = EngineConfig(
        num_gpu_blocks=40, block_size=4, max_num_seqs=4, max_num_batched_tokens=32, max_loras=1, max_cpu_loras=2
    )
    profile = replace(PROFILES[DEFAULT_PROFILE], step_seconds=0.2, lora_bytes_per_rank=1e6)
    return [Server(profile, config).slowed(1 + number) for number in range(count)]


def contender_of(name: str) -> Contender:
    return configured(WEIGHTED, "epp.yaml") if name == "weighted" else POLICIES.get(name, guide())


def run(requests: list[tuple[float, int, int, list[int], str, int]], servers: int, name: str, seed: int) -> Outcome:
    made = tuple(
        TraceRequest(at, prompt, output, chain(blocks)[: -(-prompt // 8)], adapter=adapter, priority=priority)
        for at, prompt, output, blocks, adapter, priority in sorted(requests)
    )
    scraping = Scraping(interval=0.5, delay=0.1, jitter=0.2, loss=0.2)
    return replay(Workload("drawn", made, 8), small_servers(servers), contender_of(name), scraping=scraping, seed=seed)


@settings(max_examples=40)
@given(REQUESTS, st.integers(1, 3), st.sampled_from(NAMES), st.integers(0, 3))
def test_no_request_is_lost_and_no_token_made_up(
    requests: list[tuple[float, int, int, list[int], str, int]], servers: int, name: str, seed: int
) -> None:
    outcome = run(requests, servers, name, seed)
    done = outcome.complete
    assert len(outcome.ended) == len(requests)
    assert (outcome.server[done] >= 0).all()
    assert (outcome.server[outcome.ended == REFUSED] == -1).all()
    assert (outcome.priority[outcome.ended == REFUSED] < 0).all()
    assert (outcome.cached < outcome.prompt).all()
    assert (outcome.queue[done] >= 0).all()
    assert (outcome.queue[done] < outcome.ttft[done]).all()
    assert (outcome.ttft[done] <= outcome.e2e[done]).all()
    assert np.isnan(outcome.ttft[~done]).all()
    fits = [-(-(prompt + output - 1) // 4) <= 40 for _, prompt, output, *_ in sorted(requests)]
    assert [bool(ended) for ended in outcome.ended == TOO_LARGE] == [
        not fit and not refused for fit, refused in zip(fits, outcome.ended == REFUSED, strict=True)
    ]


@settings(max_examples=40)
@given(REQUESTS, st.integers(1, 3), st.sampled_from(NAMES))
def test_accounts_and_engines_are_empty_at_the_end(
    requests: list[tuple[float, int, int, list[int], str, int]], servers: int, name: str
) -> None:
    stages: list[Stage] = []
    inner = contender_of(name)

    def watched(stage: Stage) -> object:
        stages.append(stage)
        return inner.rules(stage)

    made = tuple(
        TraceRequest(at, prompt, output, chain(blocks)[: -(-prompt // 8)], adapter=adapter, priority=priority)
        for at, prompt, output, blocks, adapter, priority in sorted(requests)
    )
    outcome = replay(Workload("drawn", made, 8), small_servers(servers), Contender(name, watched))  # type: ignore[arg-type]
    (stage,) = stages
    rows = stage.pool.rows
    assert not stage.pool.columns.inflight[rows].any()
    assert not stage.pool.columns.inflight_tokens[rows].any()
    generated = prompts = 0
    for engine in stage.engines.values():
        stats = engine.stats()
        assert (stats.running, stats.waiting, stats.live_blocks) == (0, 0, 0)
        generated += stats.generation_tokens
        prompts += stats.prompt_tokens
    assert generated == outcome.output[outcome.complete].sum()
    assert prompts == outcome.prompt[outcome.complete].sum()


@settings(max_examples=30)
@given(REQUESTS, st.integers(1, 3), st.sampled_from(NAMES), st.integers(0, 3))
def test_the_same_arguments_give_the_same_outcome(
    requests: list[tuple[float, int, int, list[int], str, int]], servers: int, name: str, seed: int
) -> None:
    assert run(requests, servers, name, seed).differs(run(requests, servers, name, seed)) == ()


def test_another_seed_is_another_outcome(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    workload = workload_of(*[(at / 10, 8, 3) for at in range(40)])
    servers = [second_server(), second_server()]
    one, other = (replay(workload, servers, POLICIES["random"], seed=seed) for seed in (1, 2))
    assert "server" in one.differs(other)


def test_an_idle_gap_with_adapters_costs_next_to_nothing(
    second_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day of scrapes every 50 ms is 1.7 million for each server; those of idle servers say nothing new."""
    counted = 0
    record = Pool.record

    def counting(pool: Pool, *rest: Any) -> None:
        nonlocal counted
        counted += 1
        record(pool, *rest)

    monkeypatch.setattr(Pool, "record", counting)
    requests = tuple(TraceRequest(at, 10, 3, adapter="a") for at in (0.0, 1.0, 86_400.0))
    replay(Workload("gap", requests, 8), [second_server(max_loras=1, max_cpu_loras=1)] * 2, guide())
    assert 0 < counted < 5_000


def test_with_adapters_every_scrape_of_a_busy_server_is_told(
    second_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is looked at for 20 s but the server; its adapter is seen busy in all of the scrapes of the answer."""
    seen = []
    record = Pool.record

    def watching(pool: Pool, endpoint: Any, readings: Any, *rest: Any) -> None:
        seen.append(bool(readings.lora_active))
        record(pool, endpoint, readings, *rest)

    monkeypatch.setattr(Pool, "record", watching)
    requests = tuple(TraceRequest(at, 10, 20, adapter="a") for at in (0.0, 4000.0))
    replay(
        Workload("w", requests, 8),
        [second_server(max_loras=1, max_cpu_loras=1)],
        guide(),
        scraping=Scraping(interval=1.0),
    )
    assert sum(seen) >= 19


def test_of_an_answer_in_one_piece_the_picker_sees_no_first_token(
    second_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer begins at 1 and ends at 4; its first byte passes at the end. Usage is told only where it is known."""
    first, usages = [], []
    begin, finish = Director.first_byte, Director.finish

    def first_byte(director: Director, ticket: Any, now: float, *rest: Any, **named: Any) -> None:
        first.append(now)
        begin(director, ticket, now, *rest, **named)

    def finished(director: Director, ticket: Any, now: float, **named: Any) -> None:
        usages.append(named["usage"])
        finish(director, ticket, now, **named)

    monkeypatch.setattr(Director, "first_byte", first_byte)
    monkeypatch.setattr(Director, "finish", finished)
    for stream in (True, False):
        replay(Workload("w", (TraceRequest(0.0, 10, 4, stream=stream, usage=stream),), 8), [second_server()], guide())
    assert first == [1.0, 4.0]
    assert [usage is not None for usage in usages] == [True, False]
