"""``make bench``: the picker beside bare transports and Envoy alone, in one interleaved run."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench import amounts, attacks, report, unfinished
from bench.budgets import Findings, budgets
from bench.decision import measure_decisions
from bench.decisions import as_json, decision_budgets, measure_costs, measure_index, measure_quickly, tables
from bench.forms import FORM
from bench.load import GENERATORS, Generator, LoadFailed, completion_request
from bench.measure import Setting, compare
from bench.processes import NotStarted
from bench.rig import Rig
from bench.standing import cores_used, measure_crowd, measure_memory
from bench.ways import PICKER, start_ways

RESULTS = Path(__file__).with_name("results")
CONNECTIONS = (1, 8, 32, 128)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much to measure."""

    rounds: int
    size_rounds: int
    seconds: float = 1.0
    """Length of a turn."""
    stream_seconds: float = 4.0
    """Longer: what is under way when a turn ends is not counted, and a streamed answer takes 0.3 s."""
    connections: tuple[int, ...] = CONNECTIONS
    sizes: tuple[int, ...] = SIZES
    requests: int = 100_000
    """For memory."""
    steps: int = 5
    decision_rounds: int = 5
    crowd_seconds: float = 8.0


FULL = Extent(rounds=5, size_rounds=3)
QUICK = Extent(
    rounds=1,
    size_rounds=1,
    seconds=0.3,
    stream_seconds=1.0,
    connections=(1, 32),
    sizes=(1_000, 100_000),
    requests=2_000,
    steps=1,
    decision_rounds=1,
    crowd_seconds=1.0,
)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smoke run with our own generator: every kind of figure, none of them good",
    )
    parser.add_argument("--generator", choices=GENERATORS, help="load generator; wrk where it is installed")
    parser.add_argument("--rounds", type=amounts.count, help="rounds of every comparison (5, by size 3)")
    options = parser.parse_args()
    extent = QUICK if options.quick else FULL
    rounds, size_rounds = options.rounds or extent.rounds, options.rounds or extent.size_rounds
    started = time.monotonic()
    try:
        with Rig() as rig:
            # wrk counts in whole seconds, which a smoke run has not.
            generator = Generator.choose("own" if options.quick else options.generator, rig.directory)
            ways = start_ways(rig)
            picked = next(way for way in ways if way.key == PICKER)
            assert picked.picker is not None
            idle = cores_used(picked.picker, 0.5 if options.quick else 3.0)
            memory = measure_memory(picked, generator, extent.requests, extent.steps)
            body = completion_request(1_000)
            seconds = extent.seconds
            by_connections = {
                count: compare(ways, Setting(f"{count} connections", body, count, seconds, rounds), generator)
                for count in extent.connections
            }
            by_size = {}
            for size in extent.sizes:
                setting = Setting(f"{size} bytes", completion_request(size), 32, seconds, size_rounds)
                by_size[size] = by_connections[32] if size == 1_000 else compare(ways, setting, generator)
            stream = completion_request(1_000, stream=True)
            setting = Setting("streamed", stream, 32, extent.stream_seconds, size_rounds, streamed=True)
            streamed = compare(ways, setting, generator)
            crowd = measure_crowd(rig, extent.crowd_seconds)
            noticed = attacks.as_json(attacks.measure_attacks(rig, generator, size_rounds, seconds))
            kept = unfinished.as_json(unfinished.measure_unfinished(rig))
            decisions = measure_decisions((8, 64, 1000), extent.decision_rounds, 2_000)
            costs, index = measure_quickly() if options.quick else (measure_costs(15, 100), measure_index())
    except (LoadFailed, NotStarted, OSError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    found = Findings(by_connections, by_size, streamed, decisions, memory, crowd, idle)
    about_decisions = decision_budgets(costs)
    verdicts = [*budgets(found), *about_decisions]
    by_policy = as_json(costs, index, about_decisions)
    shown = [
        report.figures_table(f"{count} connections, 1 KB body: CPU us/request, latency ms", ways, figures)
        for count, figures in by_connections.items()
    ]
    shown += [report.sizes_table(ways, by_size), report.chunks_table(ways, streamed, by_connections[32])]
    shown += [report.standing_table(found), attacks.table(noticed), unfinished.table(kept)]
    shown += [*tables(by_policy), report.budgets_table(verdicts)]
    report.show(shown)
    command = " ".join(["python -m bench", *sys.argv[1:]])
    content = {
        "generator": generator.kind,
        "rounds": rounds,
        "form": FORM,
        "titles": {way.key: way.title for way in ways},
        **report.findings_json(found, verdicts),
        "by_policy": by_policy,
        "attacks": noticed,
        "unfinished": kept,
    }
    file = report.write_result(RESULTS, "quick" if options.quick else "bench", command, content)
    print(f"{file.relative_to(RESULTS.parent.parent)}, {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
