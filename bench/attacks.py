"""What other connections notice of an attack: ``python -m bench.attacks``.

Requests go through Envoy to the picker, while somebody else does its worst to the picker's port. The attacker is a
process of its own and takes CPU, too: so beside the quiet turn there is one with a neighbour that burns a core and
leaves the picker alone. All take turns within each round; the ratios are of one round, their medians are shown. What
concerns TLS comes to a picker that speaks it, also to Envoy, and is compared to a quiet turn of that one.
Behind that comes the memory of unfinished requests (:mod:`bench.unfinished`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from bench import amounts, report, unfinished
from bench import envoy_static as static
from bench.load import GENERATORS, Generator, Load, LoadFailed, completion_request
from bench.ports import free_port
from bench.processes import NotStarted, Process, python_module
from bench.rig import Rig, Way

_LOAD = 8
"""Connections that go on asking."""
_CONNECTIONS = 4
"""Of the attacker."""
KINDS = {
    "quiet": "nobody else",
    "neighbour": "a neighbour burns a core",
    "pieces": "answers in pieces of a byte, keeping every rule",
    "resets": "streams reset as soon as they are opened",
    "pings": "PINGs without end",
    "connections": "connections closed as soon as they are greeted",
    "quiet over TLS": "nobody else, over TLS",
    "handshakes": "TLS handshakes given up as soon as they are answered",
}
_OVER_TLS = ("quiet over TLS", "handshakes")


def _base(kind: str) -> str:
    return "quiet over TLS" if kind in _OVER_TLS else "quiet"


@dataclass(frozen=True, slots=True)
class Noticed:
    """What the others saw of one kind of attack: medians over the rounds, and over ratios to the quiet turn."""

    kind: str
    per_second: float
    p50_us: float
    p99_us: float
    p50_ratio: float
    p99_ratio: float
    failed: int
    picker_cores: float
    """CPU seconds of the picker a second, meanwhile."""


def measure_attacks(rig: Rig, generator: Generator, rounds: int, seconds: float) -> list[Noticed]:
    """Let each kind happen ``rounds`` times for ``seconds``, to two pickers of its own. The model servers have to be
    there already."""
    targets = {tls: start_target(rig, tls=tls) for tls in (False, True)}
    found: dict[str, list[tuple[Load, float]]] = {kind: [] for kind in KINDS}
    body = completion_request(1_000)
    for number in range(rounds):
        for kind in KINDS if number % 2 == 0 else reversed(KINDS):
            way, address = targets[kind in _OVER_TLS]
            found[kind].append(_turn(rig, way, address, generator, kind, seconds, body))
        said = "  ".join(f"{kind} {found[kind][-1][0].p99_us / 1000:.1f}" for kind in KINDS)
        print(f"attacks, round {number + 1}/{rounds}, p99 ms: {said}", file=sys.stderr, flush=True)
    return [_noticed(kind, turns, [load for load, _ in found[_base(kind)]]) for kind, turns in found.items()]


def _turn(
    rig: Rig, way: Way, address: str, generator: Generator, kind: str, seconds: float, body: bytes
) -> tuple[Load, float]:
    attacker = _attacker(rig, address, kind)
    try:
        if attacker is not None:
            time.sleep(0.5)  # Python starts; what comes before the attack is not part of it
        before, started = way.picker_cpu_seconds(), time.monotonic()
        load = generator.run(way.url(), _LOAD, seconds, body)
        cores = (way.picker_cpu_seconds() - before) / (time.monotonic() - started)
        if attacker is not None:
            attacker.check()
        return load, cores
    finally:
        if attacker is not None:
            attacker.stop()


def _attacker(rig: Rig, address: str, kind: str) -> Process | None:
    if kind == _base(kind):
        return None
    if kind == "neighbour":
        argv = [sys.executable, "-c", "while True: pass"]
    else:
        argv = python_module("bench.attacker", address, kind, str(_CONNECTIONS))
    return Process(kind, argv, rig.directory / f"{kind}.log")


def _noticed(kind: str, turns: Sequence[tuple[Load, float]], quiet: Sequence[Load]) -> Noticed:
    pairs = [(load, base) for (load, _), base in zip(turns, quiet, strict=True)]
    return Noticed(
        kind,
        median(load.requests / load.seconds for load, _ in turns),
        median(load.p50_us for load, _ in turns),
        median(load.p99_us for load, _ in turns),
        median(load.p50_us / base.p50_us for load, base in pairs),
        median(load.p99_us / base.p99_us for load, base in pairs),
        sum(load.failed for load, _ in turns),
        median(cores for _, cores in turns),
    )


COLUMNS = ("meanwhile", "req/s", "p50 ms", "p99 ms", "p50 / quiet", "p99 / quiet", "picker cores", "failed")


def rows(found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return a table's rows, from `Noticed` as plain data."""
    return [
        (
            KINDS[one["kind"]],
            f"{one['per_second']:,.0f}",
            *(f"{one[name] / 1000:.2f}" for name in ("p50_us", "p99_us")),
            *(f"{one[name]:.2f}x" for name in ("p50_ratio", "p99_ratio")),
            f"{one['picker_cores']:.2f}",
            str(one["failed"]),
        )
        for one in found
    ]


def as_json(found: Sequence[Noticed]) -> list[dict[str, Any]]:
    """Plain numbers."""
    return [
        {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(one).items()}
        for one in found
    ]


def table(found: Sequence[dict[str, Any]]) -> Table:
    """Return the table for the terminal."""
    return report.plain_table(f"what {_LOAD} connections through Envoy notice of an attack", COLUMNS, rows(found))


def start_target(rig: Rig, *, tls: bool = False) -> tuple[Way, str]:
    """Start a picker and an Envoy in front of it, where the model servers run already; returns the way through it, and
    the picker's ``ip:port``."""
    name = "attacked-over-tls" if tls else "attacked"
    picker, address = rig.start_picker(rig.endpoints, f"{name}-picker", tls=tls)
    port = free_port()
    clusters = [static.picked_cluster("pool", rig.endpoints), static.picker_cluster("picker", address, tls=tls)]
    listeners = [static.to_pool("picker", port, [static.ext_proc("picker", {})])]
    envoy = rig.keep(static.start_envoy(name, rig.directory, static.bootstrap(listeners, clusters), port))
    return Way("picker", "our picker", port, envoy, picker), address


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.attacks", description=__doc__)
    parser.add_argument("--generator", choices=GENERATORS, help="load generator; wrk where it is installed")
    parser.add_argument("--rounds", type=amounts.count, default=5, help="rounds (5)")
    parser.add_argument("--seconds", type=amounts.seconds, default=3.0, help="length of a turn (3)")
    options = parser.parse_args()
    try:
        with Rig() as rig:
            generator = Generator.choose(options.generator, rig.directory)
            rig.start_upstream()
            noticed = as_json(measure_attacks(rig, generator, options.rounds, options.seconds))
            kept = unfinished.as_json(unfinished.measure_unfinished(rig))
    except (LoadFailed, NotStarted, OSError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.show([table(noticed), unfinished.table(kept)])
    command = " ".join(["python -m bench.attacks", *sys.argv[1:]])
    results = Path(__file__).with_name("results")
    file = report.write_result(results, "attacks", command, {"attacks": noticed, "unfinished": kept})
    print(file.relative_to(results.parent.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
