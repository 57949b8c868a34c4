"""Two versions of the picker behind one Envoy: ``python -m bench.versions OTHER/src``.

``OTHER`` is another checkout of this repository, for instance of an earlier commit; its picker runs in this
interpreter's environment. ``build/compiled`` is this version, compiled. Both take turns within each round, so their
ratio holds where the machine's speed does not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import amounts, report
from bench import envoy_static as static
from bench.load import GENERATORS, Generator, LoadFailed, completion_request
from bench.measure import Setting, compare
from bench.ports import free_port
from bench.processes import NotStarted
from bench.rig import Rig, Way

_OURS = {
    "request_body_mode": "BUFFERED",
    "request_trailer_mode": "SKIP",
    "response_body_mode": "STREAMED",
    "response_trailer_mode": "SKIP",
}
_MODES = {"clusters": {}, "own": _OURS}
_TITLES = {"clusters": "FULL_DUPLEX both ways (clusters)", "own": "BUFFERED, answers STREAMED (ours)"}


def start_versions(rig: Rig, other: Path) -> list[Way]:
    """Envoy alone, then each version in the modes of clusters and in those of our own Envoy."""
    rig.start_upstream()
    pickers = {
        "this": rig.start_picker(rig.endpoints, "this"),
        "other": rig.start_picker(rig.endpoints, "other", other),
    }
    keys = [(mode, version) for mode in _MODES for version in pickers]
    ports = {f"{version}-{mode}": free_port() for mode, version in keys}
    alone = free_port()
    listeners = [static.to_pool("alone", alone, [])]
    for mode, version in keys:
        name = f"{version}-{mode}"
        listeners.append(static.to_pool(name, ports[name], [static.ext_proc(version, _MODES[mode])]))
    clusters = [static.picked_cluster("pool", rig.endpoints)]
    clusters += [static.picker_cluster(version, address) for version, (_, address) in pickers.items()]
    envoy = rig.keep(static.start_envoy("versions", rig.directory, static.bootstrap(listeners, clusters), alone))
    admin = static.admin_file(rig.directory, "versions")
    ways = [Way("alone", "Envoy alone, no ext_proc", alone, envoy)]
    for mode, version in keys:
        name = f"{version}-{mode}"
        title = f"{version}: {_TITLES[mode]}"
        ways.append(Way(name, title, ports[name], envoy, pickers[version][0], (admin, name)))
    return ways


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.versions", description=__doc__)
    parser.add_argument("other", type=Path, metavar="OTHER/src", help="source folder of the other version")
    parser.add_argument("--generator", choices=GENERATORS, help="load generator; wrk where it is installed")
    parser.add_argument("--rounds", type=amounts.count, default=7, help="rounds (7)")
    options = parser.parse_args()
    if not (options.other / "signalbox").is_dir():
        parser.error(f"{options.other} holds no package signalbox: give the src folder of a checkout")
    try:
        with Rig() as rig:
            generator = Generator.choose(options.generator, rig.directory)
            ways = start_versions(rig, options.other.resolve())
            body, stream = completion_request(1_000), completion_request(1_000, stream=True)
            settings = [
                Setting("1 connection, 1 KB body", body, 1, 1, options.rounds),
                Setting("32 connections, 1 KB body", body, 32, 1, options.rounds),
                Setting("32 connections, streamed answers", stream, 32, 3, options.rounds, streamed=True),
            ]
            found = {setting.title: compare(ways, setting, generator) for setting in settings}
    except (LoadFailed, NotStarted, OSError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.show(
        [report.figures_table(f"{title}: CPU us/request, latency ms", ways, one) for title, one in found.items()]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
