"""Several policies under the same traffic: what was asked for, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from signalbox.lab.figures import Figures, figures
from signalbox.lab.ladder import Attempt, Ladder, climb
from signalbox.lab.outcome import Outcome
from signalbox.lab.parallel import Job, run_all
from signalbox.lab.scrapes import Scraping
from signalbox.lab.servers import Server
from signalbox.lab.slo import Slo
from signalbox.lab.stage import Contender
from signalbox.lab.workload import Workload


@dataclass(frozen=True, slots=True)
class Plan:
    """What to rehearse."""

    workload: Workload
    """With the arrivals as they are to come; ``speed`` is what was done to them already."""
    servers: tuple[Server, ...]
    contenders: tuple[Contender, ...]
    scraping: Scraping = field(default_factory=Scraping)
    slo: Slo = field(default_factory=Slo)
    seed: int = 0
    speed: float = 1.0
    ladder: tuple[float, ...] = ()
    """Speeds to try, as factors of the workload's own rate before ``speed``; empty for none."""
    rounds: int = 3
    """How often the gap in which a policy breaks is halved."""


@dataclass(frozen=True, slots=True)
class Result:
    """One policy."""

    policy: str
    outcome: Outcome
    figures: Figures


@dataclass(slots=True)
class Rehearsal:
    """What came out so far."""

    plan: Plan
    results: list[Result] = field(default_factory=list)
    ladders: list[Ladder] = field(default_factory=list)
    whole: bool = False
    """Whether all of the plan is done."""


Begun = Callable[[Sequence[tuple[str, int]]], Callable[[int, int], None]]
"""Told the names of replays that are about to begin and how many requests each has; returns whom to tell of each one's
progress, by its place and in requests."""


def rehearse(rehearsal: Rehearsal, workers: int, begun: Begun) -> None:
    """Do all that the plan asks for, and fill the rehearsal in as it comes. Interrupted, it keeps what it has."""
    plan = rehearsal.plan
    jobs = [Job(plan.workload, plan.servers, one, plan.scraping, plan.seed) for one in plan.contenders]
    order = {one.name: place for place, one in enumerate(plan.contenders)}
    for number, outcome in _run(jobs, [one.name for one in plan.contenders], workers, begun):
        found = figures(outcome, plan.slo, seed=plan.seed)
        rehearsal.results.append(Result(plan.contenders[number].name, outcome, found))
        rehearsal.results.sort(key=lambda result: order[result.policy])
    if plan.ladder:
        _climb(rehearsal, workers, begun)
    rehearsal.whole = True


def _climb(rehearsal: Rehearsal, workers: int, begun: Begun) -> None:
    plan = rehearsal.plan
    contenders = {one.name: one for one in plan.contenders}
    rate = plan.workload.rate / plan.speed
    rehearsal.ladders = [Ladder(name, plan.slo, rate) for name in contenders]

    def attempt(attempts: Sequence[Attempt]) -> None:
        jobs = [
            Job(
                plan.workload,
                plan.servers,
                contenders[ladder.policy],
                plan.scraping,
                plan.seed,
                speed / plan.speed,
            )
            for ladder, speed in attempts
        ]
        names = [f"{ladder.policy} at {speed:g}x" for ladder, speed in attempts]
        for number, outcome in _run(jobs, names, workers, begun):
            ladder, speed = attempts[number]
            ladder.tried(speed, outcome)

    climb(rehearsal.ladders, plan.ladder, plan.rounds, attempt)


def _run(jobs: Sequence[Job], names: Sequence[str], workers: int, begun: Begun) -> Iterable[tuple[int, Outcome]]:
    sizes = [(name, len(job.workload.requests)) for name, job in zip(names, jobs, strict=True)]
    return run_all(jobs, workers, begun(sizes))
