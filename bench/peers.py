"""``make bench-peers``: the whole gateway beside what a user would pick instead, as whole proxies before one upstream.

Each peer is installed from PyPI into a virtual environment of its own below ``bench/.peers`` (git-ignored; delete it to
have them installed anew). A peer that cannot be installed or started is said so and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from rich.table import Table

from bench import amounts, report
from bench import envoy_static as static
from bench.__main__ import RESULTS
from bench.forms import FORM, compiled_tree
from bench.load import GENERATORS, Generator, LoadFailed, completion_request
from bench.measure import Figures, Setting, compare
from bench.ports import free_port
from bench.processes import NotStarted, Process
from bench.rig import Rig, Way

HOME = Path(__file__).with_name(".peers")


class NoPeer(Exception):
    """A peer cannot take part; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Something to install, and how to start it."""

    key: str
    package: str
    title: str
    command: Callable[[Path, Path, Sequence[str], int], list[str]]
    """From its virtual environment, a directory for its files, the endpoints and the port to listen on."""


def _router(program: Sequence[str]) -> Callable[[Path, Path, Sequence[str], int], list[str]]:
    def command(home: Path, _files: Path, endpoints: Sequence[str], port: int) -> list[str]:
        workers = [f"http://{endpoint}" for endpoint in endpoints]
        metrics = ("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port()))
        options = ("--host", "127.0.0.1", "--port", str(port), "--policy", "cache_aware", *metrics)
        return [
            str(home / "bin" / program[0]),
            *program[1:],
            "--worker-urls",
            *workers,
            *options,
            "--log-level",
            "error",
        ]

    return command


def _litellm(home: Path, files: Path, endpoints: Sequence[str], port: int) -> list[str]:
    models = [
        {
            "model_name": "food-review",
            "litellm_params": {
                "model": "text-completion-openai/food-review-1",
                "api_base": f"http://{endpoint}/v1",
                "api_key": "none",
            },
        }
        for endpoint in endpoints
    ]
    file = files / "litellm.json"
    # Without a master key it starts only if told so; the other proxies check no key either.
    general = {"dangerously_permit_weak_or_unset_master_key": True}
    file.write_text(json.dumps({"model_list": models, "general_settings": general}))  # JSON is YAML
    return [str(home / "bin" / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]


PEERS = (
    Peer(
        "sglang-router",
        "sglang-router",
        "sglang-router, cache_aware",
        _router(["python", "-m", "sglang_router.launch_router"]),
    ),
    Peer("vllm-router", "vllm-router", "vllm-router, cache_aware", _router(["vllm-router"])),
    Peer("litellm", "litellm[proxy]", "litellm proxy", _litellm),
)


def install(peer: Peer) -> tuple[Path, str]:
    """Return the virtual environment of ``peer``, made now if it is not there, and the version in it. Raises NoPeer."""
    home = HOME / peer.key
    if not (home / ".complete").exists():
        print(f"installing {peer.package}", file=sys.stderr, flush=True)
        HOME.mkdir(exist_ok=True)
        for argv in (
            [sys.executable, "-m", "venv", "--clear", str(home)],
            [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install", peer.package],
        ):
            ran = subprocess.run(argv, capture_output=True, text=True, check=False)
            if ran.returncode:
                said = (ran.stderr or ran.stdout).strip().splitlines()
                raise NoPeer(f"not installed: {said[-1][:200] if said else 'no reason given'}")
        (home / ".complete").touch()
    wanted = peer.package.partition("[")[0]
    packages = [str(path) for path in home.glob("lib/python*/site-packages")]
    versions = [found.version for found in distributions(name=wanted, path=packages)]
    return home, versions[0] if versions else "?"


def start(peer: Peer, rig: Rig) -> Way:
    """Start ``peer`` before the upstream and wait until it routes a request. Raises NoPeer."""
    home, version = install(peer)
    port = free_port()
    files = rig.directory / peer.key
    files.mkdir()
    environment = {**os.environ, "PATH": f"{home / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1"}
    argv = peer.command(home, files, rig.endpoints, port)
    process = rig.keep(Process(peer.key, argv, files / "log", environment))
    way = Way(peer.key, f"{peer.title} {version}", port, process)
    deadline = time.monotonic() + 90
    while True:
        reason = _first_answer(way.url())
        if reason is None:
            return way
        try:
            process.check()
        except NotStarted as error:
            raise NoPeer(f"not started: {error}") from None
        if time.monotonic() > deadline:
            process.stop()
            raise NoPeer(f"not started: no answer after 90 s ({reason})")
        time.sleep(0.5)


def _first_answer(url: str) -> str | None:
    """Why a request is not answered with a completion; None if it is."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data=completion_request(1_000), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return None if "usage" in json.load(answer) else "an answer without usage"
    except (OSError, ValueError) as error:
        return str(error)


def start_ours(rig: Rig) -> list[Way]:
    """Envoy alone, and the whole gateway: Envoy as `signalbox up` configures it, and the picker in each form."""
    rig.start_upstream()
    port = free_port()
    config = static.bootstrap([static.to_pool("alone", port, [])], [static.picked_cluster("pool", rig.endpoints)])
    alone = rig.keep(static.start_envoy("alone", rig.directory, config, port))
    ways = [Way("alone", "Envoy alone, no picker", port, alone)]
    forms: list[tuple[str, str, Path | None]] = [("gateway", FORM, None)]
    tree = compiled_tree()
    if tree is not None:
        forms.append(("compiled", "compiled", tree))
    for key, form, source in forms:
        picker, address = rig.start_picker(rig.endpoints, f"picker-{form}", source)
        gateway, gateway_port, stats = rig.start_gateway(address, f"gateway-{form}")
        ways.append(Way(key, f"signalbox: Envoy + picker, {form}", gateway_port, gateway, picker, stats))
    return ways


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--generator", choices=GENERATORS, help="load generator; wrk where it is installed")
    parser.add_argument("--rounds", type=amounts.count, default=3, help="rounds of every comparison (3)")
    options = parser.parse_args()
    absent: dict[str, str] = {}
    try:
        with Rig() as rig:
            generator = Generator.choose(options.generator, rig.directory)
            ways = start_ours(rig)
            for peer in PEERS:
                try:
                    ways.append(start(peer, rig))
                except NoPeer as error:
                    absent[peer.title] = str(error)
            settings = [
                Setting(f"{size} bytes, {count} connections", completion_request(size), count, 3, options.rounds)
                for size, count in ((1_000, 32), (1_000, 1), (10_000, 32))
            ]
            found = [(setting.title, compare(ways, setting, generator)) for setting in settings]
    except (LoadFailed, NotStarted, OSError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.show([_table(title, ways, figures, absent) for title, figures in found])
    content = {
        "generator": generator.kind,
        "titles": {way.key: way.title for way in ways},
        "absent": absent,
        "settings": {title: {key: one.to_json() for key, one in figures.items()} for title, figures in found},
    }
    file = report.write_result(RESULTS, "peers", " ".join(["python -m bench.peers", *sys.argv[1:]]), content)
    print(file.relative_to(RESULTS.parent.parent))
    return 0


def _table(title: str, ways: Sequence[Way], figures: dict[str, Figures], absent: dict[str, str]) -> Table:
    rows: list[tuple[str, ...]] = []
    for way in ways:
        one = figures[way.key]
        latencies = (f"{one.p50_us / 1000:.2f}", f"{one.p99_us / 1000:.2f}")
        rows.append((way.title, f"{one.total_us:.0f}", f"{one.per_second:,.0f}", *latencies, str(one.failed)))
    rows += [(f"{name}: {reason}", "-", "-", "-", "-", "-") for name, reason in absent.items()]
    return report.plain_table(title, ("", "CPU us/request", "req/s", "p50 ms", "p99 ms", "failed"), rows)


if __name__ == "__main__":
    sys.exit(main())
