"""The oracle is least-cost with the truth, and what it reads from the engines is true."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from signalbox.director import Rules
from signalbox.engine import PROFILES, Engine, EngineConfig, Request
from signalbox.lab import Server, Workload, replay, server
from signalbox.lab.outcome import Ints
from signalbox.lab.policies import POLICIES
from signalbox.lab.policies.oracle import ORACLE, Oracle
from signalbox.lab.stage import Contender, Stage
from signalbox.scheduling.scorers import LeastCostScorer


def engine() -> Engine:
    return Engine(PROFILES["llama-3.1-8b-h100"], EngineConfig(1000, max_num_batched_tokens=256))


def test_an_idle_engine_has_nothing_to_compute() -> None:
    assert engine().uncomputed_tokens() == 0


def test_what_no_batch_has_taken_is_to_be_computed() -> None:
    one = engine()
    one.submit(Request("a", 600, 5), 0.0)
    one.submit(Request("b", 100, 5), 0.0)
    assert one.uncomputed_tokens() == 700
    one.step(0.0)  # the first batch has begun: 256 tokens of the first prompt
    assert one.uncomputed_tokens() == 700 - 256
    one.step(1e9)
    assert one.uncomputed_tokens() == 0


def test_what_the_cache_holds_need_not_be_computed() -> None:
    one = engine()
    one.submit(Request("a", 64, 5, block_hashes=(1, 2, 3, 4)), 0.0)
    one.step(1e9)
    one.submit(Request("b", 80, 5, block_hashes=(1, 2, 9, 8, 7)), 1e9)
    assert one.uncomputed_tokens() == 80 - 32


def test_a_batch_in_progress_has_an_end() -> None:
    one = engine()
    assert one.batch_end is None
    one.submit(Request("a", 200, 2), 0.0)
    next_at = one.step(0.0).next_at
    assert one.batch_end == next_at
    one.step(1e9)
    assert one.batch_end is None


def watched(workload: Workload, servers: list[Server]) -> tuple[Ints, Rules]:
    """Replay under the oracle: who took which request, and its rules."""
    seen: list[Rules] = []

    def rules(stage: Stage) -> Rules:
        seen.append(ORACLE.rules(stage))
        return seen[0]

    outcome = replay(workload, servers, Contender("watched", rules))
    assert outcome.complete.all()
    return outcome.server, seen[0]


def scorer_of(rules: Rules) -> LeastCostScorer:
    assert rules.policy is not None
    (found,) = [plugin for plugin in rules.policy.plugins if isinstance(plugin, LeastCostScorer)]
    return found


@pytest.mark.parametrize("adapters", [0, 5])
def test_it_decides_in_the_place_of_the_scorer_and_never_fails(
    workload_of: Callable[..., Workload], adapters: int
) -> None:
    servers = [server("llama-3.1-8b-h100", max_loras=2, max_cpu_loras=4)] * 3
    workload = workload_of(*[(0.02 * n, 800 + n, 5 + n % 7) for n in range(80)], block_tokens=256)
    if adapters:
        workload = workload.with_adapters(adapters, 1.0, 0)
    _, rules = watched(workload, servers)
    assert isinstance(scorer_of(rules), Oracle)
    assert rules.policy is not None
    assert not rules.policy.faults


def test_it_knows_a_slow_server_before_anything_was_learned(workload_of: Callable[..., Workload]) -> None:
    one = server("llama-3.1-8b-h100")
    chosen, _ = watched(workload_of((0.0, 6400, 3), block_tokens=256), [one.slowed(1.5), one])
    assert chosen.tolist() == [1]


def test_it_waits_for_the_batch_in_progress_where_nothing_is_queued(workload_of: Callable[..., Workload]) -> None:
    """Prompts of 8,000 and 4,000 tokens are in their batches, and no tokens ahead on either server: the shorter one's
    is over first."""
    workload = workload_of((0.0, 8000, 3), (0.0, 4000, 3), (0.01, 500, 3), block_tokens=256)
    chosen, _ = watched(workload, [server("llama-3.1-8b-h100")] * 2)
    assert chosen[2] == chosen[1] != chosen[0]


def test_it_is_the_same_in_every_replay(workload_of: Callable[..., Workload]) -> None:
    workload = workload_of(*[(0.01 * n, 1500, 9) for n in range(60)], block_tokens=256)
    servers = [server("llama-3.1-8b-h100")] * 3
    first, second = (replay(workload, servers, POLICIES["oracle"]) for _ in range(2))
    assert not first.differs(second)
