from __future__ import annotations

from collections.abc import Callable

import pytest

from signalbox.lab import Server, Workload, configured, guide
from signalbox.lab.parallel import Job, run_all
from signalbox.lab.policies import POLICIES

MakeServer = Callable[..., Server]
MakeWorkload = Callable[..., Workload]


@pytest.fixture
def jobs(second_server: MakeServer, workload_of: MakeWorkload) -> list[Job]:
    """Three policies at two speeds."""
    workload = workload_of(*[(at * 1.5, 10, 4, (at % 3, at)) for at in range(40)])
    servers = (second_server(), second_server())
    return [
        Job(workload, servers, contender, seed=3, speed=speed)
        for contender in (guide(), POLICIES["random"], POLICIES["round-robin"])
        for speed in (1.0, 3.0)
    ]


def test_processes_of_their_own_give_the_same_outcomes(jobs: list[Job]) -> None:
    told: dict[int, int] = {}
    apart = dict(run_all(jobs, 2, lambda job, count: told.update({job: count})))
    alone = dict(run_all(jobs, 1))
    assert sorted(apart) == sorted(alone) == list(range(6))
    assert all(apart[number].differs(alone[number]) == () for number in alone)


def test_progress_names_the_job(jobs: list[Job]) -> None:
    told: list[tuple[int, int]] = []
    list(run_all(jobs[:2], 1, lambda job, count: told.append((job, count))))
    assert told == [(0, 0), (0, 40), (1, 0), (1, 40)]


def test_speed_brings_arrivals_together(jobs: list[Job]) -> None:
    one, three = (outcome for _, outcome in run_all(jobs[:2], 1))
    assert three.arrival == pytest.approx(one.arrival / 3)


def test_an_error_in_a_process_comes_through(jobs: list[Job], workload_of: MakeWorkload) -> None:
    odd = Job(workload_of((0.0, 8, 1), block_tokens=10), jobs[0].servers, guide())
    with pytest.raises(ValueError, match="do not divide"):
        list(run_all([odd, odd], 2))


def test_stopping_early_ends_the_processes(jobs: list[Job]) -> None:
    outcomes = run_all(jobs, 2)
    number, outcome = next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(outcome.arrival) == 40
    assert number in range(6)
    assert list(outcomes) == []


def test_a_configuration_is_checked_before_anything_is_replayed() -> None:
    from signalbox.scheduling import InvalidPolicy

    with pytest.raises(InvalidPolicy):
        configured("kind: EndpointPickerConfig", "epp.yaml")
