"""The contest finds the load each policy bears, and compares at one and the same load."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from signalbox.lab import Server, Workload
from signalbox.lab.contest import SLO, highest_speed, main, run
from signalbox.lab.scenarios import VARIANTS, scenarios
from signalbox.lab.scenarios.scenario import Scenario, window
from signalbox.lab.scenarios.synthetic import burst, many_adapters, shared_prefixes


@pytest.fixture
def queue(second_server: Callable[..., Server], workload_of: Callable[..., Workload]) -> Scenario:
    """One server that prefills one prompt of 64 tokens a second and answers with one token: at speed 1 it keeps up."""
    workload = workload_of(*[(float(number), 64, 1) for number in range(60)])
    return Scenario("queue", lambda variant: workload, lambda seconds: (second_server(),), 1.1)


def test_the_highest_speed_holds_and_a_little_more_does_not(queue: Scenario) -> None:
    load = queue.load(0)
    speed = highest_speed(queue, load, "least-request")
    assert SLO.held(run(queue, load, "least-request", speed))
    assert not SLO.held(run(queue, load, "least-request", speed * 1.02))


def test_who_is_far_behind_is_not_searched_for(queue: Scenario) -> None:
    hopeless = Scenario(queue.name, queue.load, queue.fleet, 50.0)
    assert highest_speed(hopeless, hopeless.load(0), "least-request") == 0.0


def write_traces(directory: Path) -> None:
    """Traces of the three recorded formats, a request every two seconds for an hour."""
    with gzip.open(directory / "mooncake_conversation.jsonl.gz", "wt") as file:
        for number in range(1800):
            lengths = '"input_length": 600, "output_length": 9'
            line = f'{{"timestamp": {number * 2000}, {lengths}, "hash_ids": [0, {number + 1}]}}'
            print(line, file=file)
    for name in ("azure_llm_2023_conv.csv.gz", "azure_llm_2023_code.csv.gz"):
        with gzip.open(directory / name, "wt", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
            for number in range(1800):
                minute, second = divmod(number * 2, 60)
                writer.writerow([f"2023-11-16 18:{minute:02}:{second:02}.0000000", 600, 9])


def test_every_scenario_has_variants_with_servers_there_from_the_start(tmp_path: Path) -> None:
    write_traces(tmp_path)
    for name, scenario in scenarios(tmp_path).items():
        loads = [scenario.load(variant) for variant in range(VARIANTS)]
        assert all(len(load.requests) > 100 for load in loads), name
        assert any(server.joins == 0.0 for server in scenario.fleet(100.0)), name
        assert scenario.load(1) == loads[1], name


def test_the_command_prints_tables_and_says_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_traces(tmp_path)
    given = ["--traces", str(tmp_path), "--workers", "1"]
    with pytest.raises(SystemExit):
        main([*given, "--scenario", "nowhere"])
    assert "'nowhere' is unknown; known are mooncake" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*given, "--policy", "nobody"])
    assert "'nobody' is unknown" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--traces", str(tmp_path / "none")])
    assert "is not a directory" in capsys.readouterr().err


def test_least_cost_may_stand_against_itself_with_other_parameters(queue: Scenario) -> None:
    load = queue.load(0)
    changed = run(queue, load, "least-cost:laterWeight=0,crowdingWeight=1", 1.0)
    assert changed.policy == "least-cost:laterWeight=0,crowdingWeight=1"
    assert changed.complete.all()


@pytest.mark.parametrize("policy", ["least-cost:lateWeight=0", "least-cost:laterWeight=-1", "dynamo:temperature=0"])
def test_parameters_it_does_not_have_are_refused(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--traces", str(tmp_path), "--policy", policy])
    assert f"{policy!r} is unknown" in capsys.readouterr().err


def test_shared_prefixes_share_them_and_nothing_else() -> None:
    load = shared_prefixes(groups=3, zipf=1.0, prefix=1024, own=100, answer=20, rate=10, seconds=30, seed=1)
    heads = {request.blocks[:4] for request in load.requests}
    assert len(heads) == 3
    tails = [request.blocks[4] for request in load.requests]
    assert len(set(tails)) == len(tails)
    assert all(request.prompt_tokens > 1024 for request in load.requests)
    assert load == shared_prefixes(groups=3, zipf=1.0, prefix=1024, own=100, answer=20, rate=10, seconds=30, seed=1)


def test_popular_adapters_are_asked_for_more_often() -> None:
    load = many_adapters(adapters=8, zipf=1.0, prompt=50, answer=20, rate=50, seconds=40, seed=1)
    names = [request.adapter for request in load.requests]
    assert len(load.adapters) == 8
    assert names.count("adapter-0") > 2 * names.count("adapter-7")


def test_a_burst_is_ten_times_as_fast_and_what_follows_keeps_its_pace(workload_of: Callable[..., Workload]) -> None:
    calm = workload_of(*[(float(number), 10, 2) for number in range(100)])
    times = [request.at for request in burst(calm, factor=10.0, begins=0.5, share=0.2).requests]
    gaps = [round(after - before, 6) for before, after in pairwise(times)]
    assert gaps == [1.0] * 50 + [0.1] * 20 + [1.0] * 29


def test_a_window_counts_time_from_its_first_request(workload_of: Callable[..., Workload]) -> None:
    whole = workload_of(*[(number * 10.0, 10, 2) for number in range(60)])
    part = window(whole, 2, 3)
    assert [request.at for request in part.requests] == [number * 10.0 for number in range(18)]
