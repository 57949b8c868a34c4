"""The contest: every policy in every scenario. ``python -m signalbox.lab.contest --traces DIR`` prints the tables.

Two figures decide. The highest sustained rate is the largest at which nine of ten requests wait at most 2 s for their
first token and nine of ten have at most 50 ms per output token, found by halving the gap between the highest speed
that held and the lowest that did not, to about 0.35 %. The TTFT p90 is taken at 80 % of the highest rate of any policy
but the oracle, the same traffic for all.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from signalbox.lab.contest_results import OUT_OF_CONTEST, Result, summary, table
from signalbox.lab.outcome import Outcome
from signalbox.lab.policies import POLICIES
from signalbox.lab.policies.ours import ABLATION, WITH_PARAMETERS, least_cost_with
from signalbox.lab.replay import replay
from signalbox.lab.scenarios import VARIANTS, Scenario, scenarios
from signalbox.lab.slo import Slo
from signalbox.lab.workload import Workload
from signalbox.scheduling import InvalidPolicy

SLO = Slo(ttft=2.0, tpot=0.05)
_STEP = 1.25
_HALVINGS = 6
_VARIANT = 14
_LOWEST = 0.2
"""Of the speed the search begins with. A policy that breaks below it is out of the running, and not searched for."""


def run(scenario: Scenario, load: Workload, policy: str, speed: float) -> Outcome:
    """Replay a scenario's traffic at a speed. A policy is one of `POLICIES` or one that `least_cost_with` reads."""
    faster = load.faster(speed)
    contender = least_cost_with(policy) if policy.startswith(WITH_PARAMETERS) else POLICIES[policy]
    return replay(faster, scenario.fleet(faster.seconds), contender)


def highest_speed(scenario: Scenario, load: Workload, policy: str) -> float:
    """Return the highest speed at which the SLO holds; 0 where it is below `_LOWEST`."""

    def holds(speed: float) -> bool:
        return SLO.held(run(scenario, load, policy, speed))

    low, high = 0.0, 0.0
    speed = scenario.speed
    while not low or not high:
        if holds(speed):
            low = speed
            speed *= _STEP
        else:
            high = speed
            speed /= _STEP
        if speed < scenario.speed * _LOWEST:
            return 0.0
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def _search(traces: Path, job: tuple[str, int, str]) -> float:
    name, variant, policy = job
    scenario = scenarios(traces)[name]
    return highest_speed(scenario, scenario.load(variant), policy)


def _measure(traces: Path, job: tuple[str, int, str, float, float]) -> Result:
    name, variant, policy, highest, speed = job
    scenario = scenarios(traces)[name]
    load = scenario.load(variant)
    outcome = run(scenario, load, policy, speed)
    sheddable = outcome.priority < 0
    done = outcome.complete & ~sheddable
    return Result(
        name,
        variant,
        policy,
        highest * load.rate,
        scenario.speed * _LOWEST * load.rate,
        float(np.percentile(outcome.ttft[done], 90)),
        float(np.nanpercentile(outcome.tpot[done], 90)),
        float(outcome.cached[outcome.complete].sum() / outcome.prompt[outcome.complete].sum()),
        int((~outcome.complete).sum()),
        float(np.percentile(outcome.ttft[done], 99)),
        float(outcome.complete[sheddable].mean()) if sheddable.any() else None,
    )


def contest(
    traces: Path, names: Sequence[str], variants: Sequence[int], policies: Sequence[str], workers: int
) -> Iterator[list[Result]]:
    """Yield the results of one scenario and variant after the other, the highest rate first."""
    context = multiprocessing.get_context("fork")
    with context.Pool(workers) as pool:
        for name in names:
            for variant in variants:
                jobs = [(name, variant, policy) for policy in policies]
                speeds = dict(zip(policies, pool.map(partial(_search, traces), jobs, 1), strict=True))
                best = max((speed for policy, speed in speeds.items() if policy != OUT_OF_CONTEST), default=0.0)
                speed = 0.8 * (best or scenarios(traces)[name].speed)
                measured = [(name, variant, policy, speeds[policy], speed) for policy in policies]
                results = pool.map(partial(_measure, traces), measured, 1)
                yield sorted(results, key=lambda result: -result.rate)


def _with_parameters(option: str, name: str) -> bool:
    """Whether this names ``least-cost`` with parameters that it has."""
    if option != "policy" or not name.startswith(WITH_PARAMETERS):
        return False
    try:
        least_cost_with(name)
    except InvalidPolicy:
        return False
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Hold the contest and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m signalbox.lab.contest", description="Compare routing policies.")
    parser.add_argument("--traces", type=Path, required=True, help="directory of the recorded traces")
    parser.add_argument("--scenario", action="append", help="one of them, as often as you like; all if not given")
    parser.add_argument(
        "--policy",
        action="append",
        help="one of them, or least-cost:laterWeight=0 and the like; all but the oracle if not given",
    )
    parser.add_argument("--ablation", action="store_true", help="least-cost with one term less at a time, no peers")
    variants = range(VARIANTS)
    parser.add_argument(
        "--variant", type=int, action="append", choices=variants, help=f"0 to {VARIANTS - 1}; {_VARIANT} if not given"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--json", type=Path, help="a file to write all results to, after each scenario")
    options = parser.parse_args(arguments)
    if not options.traces.is_dir():
        parser.error(f"--traces: {options.traces} is not a directory; name the one that holds the trace files")
    known = scenarios(options.traces)
    for option, given, names in (("scenario", options.scenario, known), ("policy", options.policy, POLICIES)):
        unknown = [name for name in given or () if name not in names and not _with_parameters(option, name)]
        if unknown:
            parser.error(f"--{option}: {unknown[0]!r} is unknown; known are {', '.join(names)}")
    collected: list[list[Result]] = []
    for results in contest(
        options.traces,
        options.scenario or list(known),
        options.variant or [_VARIANT],
        options.policy or [name for name in (ABLATION if options.ablation else POLICIES) if name != OUT_OF_CONTEST],
        options.workers,
    ):
        collected.append(results)
        print(f"**{results[0].scenario}**, variant {results[0].variant}\n\n{table(results)}\n", flush=True)
        if options.json is not None:
            written = [asdict(one) for group in collected for one in group]
            options.json.write_text(json.dumps(written, indent=1) + "\n")
    print(summary(collected))
    return 0


if __name__ == "__main__":
    sys.exit(main())
