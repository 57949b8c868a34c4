"""The peers' policies choose as their documentation says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from signalbox.lab import Server, Workload, replay
from signalbox.lab.policies import PEERS, POLICIES
from signalbox.lab.policies.bounded_hash import BoundedHash
from signalbox.lab.policies.cache_aware import CacheAware
from signalbox.lab.policies.dynamo import Dynamo
from signalbox.lab.policies.least_request import LeastRequest
from signalbox.lab.policies.llm_d import WeightedScores, Weights
from signalbox.lab.policies.ours import LEAST_COST_CONFIGURATION
from signalbox.lab.policies.peer import Peer
from signalbox.lab.policies.power_of_two import PowerOfTwo
from signalbox.lab.policies.random_choice import RandomChoice
from signalbox.lab.policies.ray_prefix import RayPrefix
from signalbox.lab.policies.round_robin import RoundRobin
from signalbox.pool import Columns, Endpoint
from signalbox.scheduling import Cycle, load_policy
from signalbox.scheduling.prefix import PrefixMatch


def test_least_cost_is_the_configuration_that_we_recommend() -> None:
    example = Path(__file__).parents[2] / "examples/scheduling/least-cost.yaml"

    def meaning(text: str) -> object:
        policy = load_policy(text, name="it")
        flow = policy.flow
        assert flow is not None
        plugins = [(plugin.type, plugin.parameters) for plugin in policy.plugins]
        return plugins, policy.detector.type, flow.usage_limit.type, flow.default.ordering.type, flow.ttl

    assert meaning(LEAST_COST_CONFIGURATION) == meaning(example.read_text())


def found(count: int, *, held: Sequence[float] | None = None, total: int = 10, **columns: Sequence[float]) -> Cycle:
    """A request of ``total`` blocks of 16 tokens meets endpoints with these columns, which hold so many of them."""
    made = Columns()
    for name, values in columns.items():
        getattr(made, name)[: len(values)] = values
    blocks = np.zeros(made.size)
    if held is not None:
        blocks[: len(held)] = held
    endpoints = {row: Endpoint(f"p{row}", "default", f"p{row}", f"10.0.0.{row}", 8000, row, {}) for row in range(count)}
    return Cycle(
        "m",
        0,
        made,
        random.Random(7),
        endpoints=endpoints,
        prompt_tokens=total * 16,
        prefix=PrefixMatch(blocks, total, 16, total * 16),
    )


def choices(peer: Peer, cycle: Cycle, times: int = 200) -> set[int]:
    """Every row it chooses in so many decisions that change nothing."""
    rows = np.array(sorted(cycle.endpoints), np.intp)
    return {peer.choose(cycle, rows) for _ in range(times)}


def test_random_chooses_all_and_round_robin_takes_turns() -> None:
    assert choices(RandomChoice(), found(4)) == {0, 1, 2, 3}
    turns = RoundRobin()
    rows = np.array([0, 2, 3], np.intp)
    assert [turns.choose(found(4), rows) for _ in range(5)] == [0, 2, 3, 0, 2]


def test_least_request_takes_the_fewest_and_breaks_ties_by_chance() -> None:
    assert choices(LeastRequest(), found(4, inflight=[2, 1, 3, 1])) == {1, 3}


def test_power_of_two_never_takes_the_worst_and_not_always_the_best() -> None:
    assert choices(PowerOfTwo(), found(3, inflight=[9, 1, 4])) == {1, 2}


def test_dynamo_weighs_what_is_to_compute_against_what_is_active() -> None:
    warm = found(2, held=[10, 0], context_tokens=[150, 0])
    assert choices(Dynamo(), warm) == {0}  # 10 blocks to compute against 9.4 active
    assert choices(Dynamo(overlap_weight=0.5), warm) == {1}
    assert choices(Dynamo(), found(2, prefill_tokens=[160, 0])) == {1}


def test_dynamo_with_a_temperature_draws() -> None:
    cycle = found(2, held=[10, 0])
    rows = np.array([0, 1], np.intp)
    peer = Dynamo(temperature=1.0)
    drawn = Counter(peer.choose(cycle, rows) for _ in range(2000))
    assert drawn[0] / drawn[1] == pytest.approx(np.e, rel=0.2)  # costs are brought to 0 and 1


def test_cache_aware_follows_the_prefix_above_its_threshold_and_else_the_smallest_record() -> None:
    peer = CacheAware(cache_threshold=0.3)
    assert choices(peer, found(3, held=[4, 0, 2]), times=1) == {0}
    assert choices(peer, found(3, held=[3, 0, 0]), times=2) == {1, 2}  # 0 has a record by now


def test_cache_aware_goes_by_load_while_it_is_uneven() -> None:
    uneven = found(3, held=[10, 0, 0], inflight=[80, 10, 12])
    assert choices(CacheAware(), uneven) == {1}
    assert choices(CacheAware(balance_abs=100), uneven) == {0}
    assert choices(CacheAware(balance_rel=10), uneven) == {0}


def test_the_record_of_a_worker_that_left_is_gone() -> None:
    peer = CacheAware()
    cold = found(2)
    first = choices(peer, cold, times=1).pop()
    peer.left(cold.endpoints[first])
    assert len(choices(peer, cold, times=2)) == 2


def test_ray_follows_the_prefix_while_queues_are_even() -> None:
    assert choices(RayPrefix(), found(3, held=[0, 1, 0])) == {1}
    assert len(choices(RayPrefix(match_rate_threshold=0.2), found(3, held=[0, 1, 0]), times=3)) == 3
    assert choices(RayPrefix(), found(3, held=[10, 0, 0], inflight=[20, 0, 1])) == {1, 2}


def hashed(key: int) -> BoundedHash:
    """The ring with a request whose first block is ``key``."""
    stage: Any = SimpleNamespace(
        request=SimpleNamespace(trace=SimpleNamespace(blocks=(key,)), asked=SimpleNamespace(id="1"))
    )
    return BoundedHash(stage)


def test_bounded_hash_keeps_a_prompt_where_it_was_until_the_bound() -> None:
    homes = {key: choices(hashed(key), found(4)) for key in range(40)}
    assert all(len(rows) == 1 for rows in homes.values())
    assert set().union(*homes.values()) == {0, 1, 2, 3}
    (home,) = homes[0]
    load = [4.0] * 4
    load[home] = 6.0  # more than 1.25 times the mean
    elsewhere = choices(hashed(0), found(4, inflight=load))
    assert len(elsewhere) == 1
    assert home not in elsewhere


def test_llm_d_adds_up_queue_cache_and_prefix() -> None:
    peer = WeightedScores()
    assert choices(peer, found(3, waiting=[4, 0, 2], kv_usage=[0, 0.4, 0])) == {1}  # 0 + 2, 2 + 1.2, 1 + 2
    assert choices(peer, found(2, held=[10, 0], waiting=[1, 0])) == {0}


def test_llm_d_sees_what_was_scraped_and_the_mended_one_what_was_sent_since() -> None:
    cycle = found(2, waiting=[0, 1], inflight=[9, 1], inflight_mark=[0, 1])
    assert choices(WeightedScores(), cycle) == {0}
    assert choices(WeightedScores(stale=False), cycle) == {1}


def test_llm_d_no_hit_lru_sends_cold_prompts_in_turn() -> None:
    peer = WeightedScores(Weights(no_hit_lru=2.0))
    rows = np.arange(3)
    assert sorted(peer.choose(found(3), rows) for _ in range(3)) == [0, 1, 2]
    assert peer.choose(found(3, held=[0, 5, 0]), rows) == 1


def test_llm_d_counts_requests_where_it_is_told_to() -> None:
    weights = Weights(queue=0.0, kv_cache=0.0, prefix=0.0, active=4.0)
    assert choices(WeightedScores(weights), found(3, inflight=[3, 1, 2])) == {1}


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_answers_a_whole_workload_the_same_way_twice(
    name: str, second_server: Callable[..., Server], workload_of: Callable[..., Workload]
) -> None:
    requests = [
        (number * 0.3, 20 + number % 5, 3 + number % 4, (number % 3, number % 2, number)) for number in range(60)
    ]
    workload = workload_of(*requests)
    servers = [second_server(), second_server(), second_server(joins=5.0)]
    outcome = replay(workload, servers, POLICIES[name], seed=4)
    assert outcome.complete.all()
    assert not outcome.differs(replay(workload, servers, POLICIES[name], seed=4))
    assert len(set(outcome.server.tolist())) == 3 or name == "bounded-hash"


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in PEERS and name != "default"])
def test_ours_and_the_oracle_serve_adapters(
    name: str, second_server: Callable[..., Server], workload_of: Callable[..., Workload]
) -> None:
    workload = workload_of(*[(number * 0.5, 12, 4) for number in range(40)]).with_adapters(5)
    servers = [second_server(max_loras=2, max_cpu_loras=4) for _ in range(3)]
    assert replay(workload, servers, POLICIES[name]).complete.all()
