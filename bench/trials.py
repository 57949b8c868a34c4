"""The same request under different settings of Envoy's ext_proc filter: ``python -m bench.trials``.

For a gateway whose Envoy is ours, which settings make a request cheaper? The picker proper takes part where it can
answer; where a trial leaves out what it needs (the request-headers message), the bare transport server stands in, so
compare such a trial with the other trials of that server.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import amounts, report
from bench import envoy_static as static
from bench.__main__ import RESULTS
from bench.load import GENERATORS, Generator, LoadFailed, completion_request
from bench.measure import Setting, compare
from bench.ports import free_port
from bench.processes import NotStarted, Process
from bench.rig import Rig, Way
from signalbox.gateway.envoy import EnvoyConfig

Json = dict[str, Any]

_BUFFERED = {"request_body_mode": "BUFFERED", "request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP"}
_OURS = {**_BUFFERED, "response_body_mode": "STREAMED"}
_QUIET = {**_BUFFERED, "response_body_mode": "NONE"}
_ONE_WAY = {**_QUIET, "response_header_mode": "SKIP"}
_HEADERS = ("content-type", ":path", ":status", "x-request-id", "x-gateway-inference-objective")
_FORWARD = {"forward_rules": {"allowed_headers": {"patterns": [{"exact": name} for name in _HEADERS]}}}
_ATTRIBUTES = {"request_attributes": ["request.path", "request.id"]}


@dataclass(frozen=True, slots=True)
class Trial:
    """One listener: the filter's modes and fields, and which server answers it."""

    key: str
    title: str
    mode: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    server: str = "picker"
    manager: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the connection manager."""


LEAN_MANAGER = {"generate_request_id": False}
EAGER = {"send_body_without_waiting_for_header_response": True}

TRIALS = (
    Trial("duplex", "picker: FULL_DUPLEX both ways (clusters)"),
    Trial("duplex-fwd", "same, forward_rules", {}, _FORWARD),
    Trial("streamed", "picker: BUFFERED, answers STREAMED (ours)", _OURS),
    Trial("streamed-fwd", "same, forward_rules", _OURS, _FORWARD),
    Trial("streamed-eager", "same, forward_rules, body unasked", _OURS, {**_FORWARD, **EAGER}),
    Trial("none", "picker: BUFFERED, answer body NONE", _QUIET),
    Trial("none-fwd", "same, forward_rules", _QUIET, _FORWARD),
    Trial("none-fwd-lean", "same, forward_rules, no request id", _QUIET, _FORWARD, manager=LEAN_MANAGER),
    Trial("one-way", "picker: BUFFERED, answer phases SKIP", _ONE_WAY, _FORWARD),
    Trial("bare-streamed", "bare: BUFFERED, answers STREAMED", _OURS, _FORWARD, "bare"),
    Trial("bare-none", "bare: BUFFERED, answer body NONE", _QUIET, _FORWARD, "bare"),
    Trial(
        "bare-no-req-head",
        "same, request headers as attributes",
        {**_QUIET, "request_header_mode": "SKIP"},
        {**_FORWARD, **_ATTRIBUTES},
        "bare",
    ),
    Trial(
        "bare-body-only",
        "same, and answer phases SKIP",
        {**_ONE_WAY, "request_header_mode": "SKIP"},
        {**_FORWARD, **_ATTRIBUTES},
        "bare",
    ),
    Trial(
        "bare-head-only",
        "bare: request headers only (no body)",
        {**_ONE_WAY, "request_body_mode": "NONE"},
        _FORWARD,
        "bare",
    ),
)


def manager_of(config: EnvoyConfig) -> Json:
    """The connection manager of our own gateway's listener."""
    found: Json = config.listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def _without_log(config: EnvoyConfig) -> None:
    del manager_of(config)["access_log"]


def _without_guard(config: EnvoyConfig) -> None:
    manager = manager_of(config)
    manager["http_filters"] = [one for one in manager["http_filters"] if "fault" not in one["name"]]
    for route in config.routes:
        for host in route["virtual_hosts"]:
            for entry in host["routes"]:
                for share in entry["route"]["weighted_clusters"]["clusters"]:
                    share["typed_per_filter_config"].pop("envoy.filters.http.fault")


def _forwarding_little(config: EnvoyConfig) -> None:
    manager_of(config)["http_filters"][0]["typed_config"].update(_FORWARD)


def _all_at_once(config: EnvoyConfig) -> None:
    _without_log(config)
    _forwarding_little(config)
    manager_of(config)["http_filters"][0]["typed_config"]["processing_mode"]["response_body_mode"] = "NONE"


EDITS: dict[str, tuple[str, Callable[[EnvoyConfig], None]]] = {
    "gateway": ("our gateway as `signalbox up` runs it", lambda config: None),
    "gateway-no-log": ("same, no access log", _without_log),
    "gateway-no-guard": ("same, no FailClose guard", _without_guard),
    "gateway-fwd": ("same, forward_rules", _forwarding_little),
    "gateway-lean": ("same, no log, forward_rules, answer body NONE", _all_at_once),
}


def start_trials(rig: Rig) -> list[Way]:
    """Envoy alone, one listener for each trial, and our own gateway as `translate` makes it."""
    rig.start_upstream()
    servers: dict[str, tuple[Process, str]] = {
        "picker": rig.start_picker(rig.endpoints),
        "bare": rig.start_bare("own_transport"),
    }
    clusters = [static.picked_cluster("pool", rig.endpoints)]
    clusters += [static.picker_cluster(name, address) for name, (_, address) in servers.items()]
    ports = {key: free_port() for key in ("alone", *(trial.key for trial in TRIALS))}
    listeners = [static.to_pool("alone", ports["alone"], [])]
    for trial in TRIALS:
        made = static.to_pool(trial.key, ports[trial.key], [static.ext_proc(trial.server, trial.mode, **trial.fields)])
        made["filter_chains"][0]["filters"][0]["typed_config"].update(trial.manager)
        listeners.append(made)
    envoy = rig.keep(static.start_envoy("trials", rig.directory, static.bootstrap(listeners, clusters), ports["alone"]))
    admin = static.admin_file(rig.directory, "trials")
    return [
        Way("alone", "Envoy alone, no ext_proc", ports["alone"], envoy),
        *(
            Way(trial.key, trial.title, ports[trial.key], envoy, servers[trial.server][0], (admin, trial.key))
            for trial in TRIALS
        ),
        *(_edited(rig, key, servers["picker"]) for key in EDITS),
    ]


def _edited(rig: Rig, key: str, picker: tuple[Process, str]) -> Way:
    title, edit = EDITS[key]
    envoy, port, stats = rig.start_gateway(picker[1], key, edit)
    return Way(key, title, port, envoy, picker[0], stats)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.trials", description=__doc__)
    parser.add_argument("--generator", choices=GENERATORS, help="load generator; wrk where it is installed")
    parser.add_argument("--rounds", type=amounts.count, default=5, help="rounds (5)")
    options = parser.parse_args()
    try:
        with Rig() as rig:
            generator = Generator.choose(options.generator, rig.directory)
            ways = start_trials(rig)
            setting = Setting("trials", completion_request(1_000), 32, 1, options.rounds)
            figures = compare(ways, setting, generator)
    except (LoadFailed, NotStarted, OSError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.show([report.figures_table("32 connections, 1 KB body: CPU us/request, latency ms", ways, figures)])
    content = {
        "generator": generator.kind,
        "titles": {way.key: way.title for way in ways},
        "trials": {key: one.to_json() for key, one in figures.items()},
    }
    file = report.write_result(RESULTS, "trials", " ".join(["python -m bench.trials", *sys.argv[1:]]), content)
    print(file.relative_to(RESULTS.parent.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
