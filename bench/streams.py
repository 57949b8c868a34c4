"""Ways to learn of streamed answers, side by side: ``python -m bench.streams``.

The picker needs four things of an answer: that it ended, its status, its first token, its usage. Here the request is
routed by the whole picker each time (BUFFERED, as our own Envoy sends it), and what differs is how the answer is
watched: in the same filter, by a second filter in observability mode, or not at all, with Envoy's access log over gRPC
and Envoy's own filters reading the usage. A second server's CPU counts as the picker's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import amounts, report
from bench import envoy_static as static
from bench.__main__ import RESULTS
from bench.load import GENERATORS, Generator, LoadFailed, completion_request
from bench.measure import Figures, Setting, compare
from bench.ports import free_port
from bench.processes import NotStarted
from bench.rig import Rig, Way
from bench.servers.observer import NAMESPACE

Json = dict[str, Any]

_REQUEST = {"request_body_mode": "BUFFERED", "request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP"}
_WATCHED = {**_REQUEST, "response_body_mode": "STREAMED"}
_UNWATCHED = {**_REQUEST, "response_body_mode": "NONE"}
_ONLY_ANSWERS = {
    "request_header_mode": "SKIP",
    "request_body_mode": "NONE",
    "request_trailer_mode": "SKIP",
    "response_body_mode": "STREAMED",
    "response_trailer_mode": "SKIP",
}
_COUNTS = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Watch:
    """One listener: its HTTP filters, and whether Envoy logs over gRPC."""

    key: str
    title: str
    filters: Sequence[Json]
    logs: bool = False

    @property
    def aside(self) -> bool:
        """Whether the observer takes part."""
        return self.logs or len(self.filters) > 1


def _rules() -> list[Json]:
    return [
        {
            "selectors": [{"key": "usage"}, {"key": name}],
            "on_present": {"metadata_namespace": NAMESPACE, "key": name, "type": "NUMBER"},
        }
        for name in _COUNTS
    ]


def _usage_filters() -> list[Json]:
    """Envoy's own readers of usage: of JSON answers, and of streams."""
    missing = {"on_missing": {"metadata_namespace": NAMESPACE, "key": "none", "value": 0}}
    filters = "envoy.extensions.filters.http"
    parser = static.extension(
        "envoy.content_parsers.json",
        "envoy.extensions.content_parsers.json.v3.JsonContentParser",
        rules=[{"rule": rule} for rule in _rules()],
    )
    return [
        static.extension(
            "envoy.filters.http.json_to_metadata",
            f"{filters}.json_to_metadata.v3.JsonToMetadata",
            response_rules={"rules": [{**rule, **missing} for rule in _rules()]},
        ),
        static.extension(
            "envoy.filters.http.sse_to_metadata",
            f"{filters}.sse_to_metadata.v3.SseToMetadata",
            response_rules={"content_parser": parser},
        ),
    ]


def watches() -> list[Watch]:
    """What is compared."""
    observing = static.ext_proc("observer", _ONLY_ANSWERS, observability_mode=True)
    asked = static.ext_proc("picker", _UNWATCHED)
    return [
        Watch("streamed", "same filter, STREAMED (ours)", [static.ext_proc("picker", _WATCHED)]),
        Watch("duplex", "same filter, FULL_DUPLEX (clusters)", [static.ext_proc("picker", {})]),
        Watch("observed", "answers NONE, second filter in observability mode", [asked, observing]),
        Watch("none", "answers NONE: no first token, no usage", [asked]),
        Watch("logged", "answers NONE, access log over gRPC: no first token, no usage", [asked], logs=True),
        Watch(
            "metadata",
            "answers NONE, access log over gRPC, usage read by Envoy: no first token",
            [*_usage_filters(), asked],
            logs=True,
        ),
    ]


def _access_log() -> Json:
    return static.extension(
        "envoy.access_loggers.http_grpc",
        "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
        common_config={
            "log_name": "signalbox",
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "observer"}},
            "buffer_flush_interval": "0.050s",
        },
    )


def start_watches(rig: Rig) -> list[Way]:
    """Envoy alone, and one listener for each watch."""
    rig.start_upstream()
    picker, address = rig.start_picker(rig.endpoints)
    observer, observer_address = rig.start_bare("observer")
    clusters = [
        static.picked_cluster("pool", rig.endpoints),
        static.picker_cluster("picker", address),
        static.picker_cluster("observer", observer_address),
    ]
    found = watches()
    ports = {key: free_port() for key in ("alone", *(watch.key for watch in found))}
    listeners = [static.to_pool("alone", ports["alone"], [])]
    for watch in found:
        made = static.to_pool(watch.key, ports[watch.key], watch.filters)
        if watch.logs:
            made["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = [_access_log()]
        listeners.append(made)
    envoy = rig.keep(
        static.start_envoy("streams", rig.directory, static.bootstrap(listeners, clusters), ports["alone"])
    )
    admin = static.admin_file(rig.directory, "streams")
    ways = [
        Way(
            watch.key,
            watch.title,
            ports[watch.key],
            envoy,
            picker,
            (admin, watch.key),
            observer if watch.aside else None,
        )
        for watch in found
    ]
    return [Way("alone", "Envoy alone, no ext_proc", ports["alone"], envoy), *ways]


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.streams", description=__doc__)
    parser.add_argument("--generator", choices=GENERATORS, help="load generator; wrk where it is installed")
    parser.add_argument("--rounds", type=amounts.count, default=3, help="rounds (3)")
    parser.add_argument("--seconds", type=amounts.seconds, default=4.0, help="length of a turn of streamed answers (4)")
    options = parser.parse_args()
    try:
        with Rig() as rig:
            generator = Generator.choose(options.generator, rig.directory)
            ways = start_watches(rig)
            plain = Setting("plain", completion_request(1_000), 32, 1, options.rounds)
            body = completion_request(1_000, stream=True)
            streamed = Setting("streamed", body, 32, options.seconds, options.rounds, streamed=True)
            found = {setting.title: compare(ways, setting, generator) for setting in (plain, streamed)}
    except (LoadFailed, NotStarted, OSError, TimeoutError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.show([_table(ways, found["plain"], found["streamed"])])
    content = {
        "generator": generator.kind,
        "titles": {way.key: way.title for way in ways},
        **{title: {key: one.to_json() for key, one in figures.items()} for title, figures in found.items()},
    }
    file = report.write_result(RESULTS, "streams", " ".join(["python -m bench.streams", *sys.argv[1:]]), content)
    print(file.relative_to(RESULTS.parent.parent))
    return 0


def _table(ways: Sequence[Way], plain: dict[str, Figures], streamed: dict[str, Figures]) -> Any:
    columns = (
        "32 connections, CPU us a request",
        "plain: picker",
        "Envoy",
        "both",
        "50 chunks: picker",
        "Envoy",
        "both",
    )
    rows = []
    for way in ways:
        cells = [
            f"{value:,.0f}"
            for one in (plain[way.key], streamed[way.key])
            for value in (one.picker_us, one.proxy_us, one.total_us)
        ]
        rows.append((way.title, *cells))
    return report.plain_table("ways to learn of an answer", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
