"""Static Envoy configurations: the upstream, and gateways set up as those in clusters are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.pages import COMPLETION, METRICS_PAGE
from bench.processes import Process
from signalbox.gateway.envoy import find_envoy

Json = dict[str, Any]

DESTINATION = "x-gateway-destination-endpoint"
STREAM_QUERY = "stream"
"""A request whose URL has this query parameter is answered with a stream."""

_TYPE = "type.googleapis.com/"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_BALANCING = "envoy.load_balancing_policies"


def extension(name: str, message: str, **fields: Any) -> Json:
    """A named extension with its configuration."""
    return {"name": name, "typed_config": {"@type": _TYPE + message, **fields}}


def address(host: str, port: int) -> Json:
    """An Envoy address."""
    return {"socket_address": {"address": host, "port_value": port}}


def listener(name: str, hosts: Sequence[str], port: int, routes: Sequence[Json], filters: Sequence[Json]) -> Json:
    """A listener on the same port of every host, with these routes and HTTP filters before the router."""
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        _HCM,
        stat_prefix=name,
        route_config={
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": list(routes)}],
            "max_direct_response_body_size_bytes": 1 << 16,
        },
        http_filters=[
            *filters,
            extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"),
        ],
    )
    return {
        "name": name,
        "address": address(hosts[0], port),
        "additional_addresses": [{"address": address(host, port)} for host in hosts[1:]],
        "per_connection_buffer_limit_bytes": 4 << 20,
        "filter_chains": [{"filters": [manager]}],
    }


def cluster(name: str, addresses: Sequence[str], **fields: Any) -> Json:
    """A static cluster of ``ip:port`` addresses."""
    members = []
    for one in addresses:
        host, _, port = one.rpartition(":")
        members.append({"endpoint": {"address": address(host, int(port))}})
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": members}]},
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, 100_000)]},
        **fields,
    }


def picked_cluster(name: str, addresses: Sequence[str]) -> Json:
    """A cluster that goes to the endpoint in the destination header or metadata, else round."""
    around = extension(
        f"{_BALANCING}.round_robin", f"{_BALANCING.replace('envoy', 'envoy.extensions', 1)}.round_robin.v3.RoundRobin"
    )
    chosen = extension(
        f"{_BALANCING}.override_host",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[
            {"header": DESTINATION},
            {"metadata": {"key": "envoy.lb", "path": [{"key": DESTINATION}]}},
        ],
        fallback_policy={"policies": [{"typed_extension_config": around}]},
    )
    return cluster(name, addresses, load_balancing_policy={"policies": [{"typed_extension_config": chosen}]})


def picker_cluster(name: str, picker: str, *, tls: bool = False) -> Json:
    """A cluster of one gRPC server; with ``tls`` whatever certificate it shows will do."""
    options = {"@type": _TYPE + _HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}
    fields: dict[str, Any] = {"typed_extension_protocol_options": {_HTTP_OPTIONS: options}}
    if tls:
        context = _TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
        fields["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": context}}
    return cluster(name, [picker], **fields)


def ext_proc(picker: str, mode: Mapping[str, str], **fields: Any) -> Json:
    """The ext_proc filter towards the cluster ``picker``; ``mode`` overrides phases of the full-duplex default."""
    return extension(
        "envoy.filters.http.ext_proc",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": picker}},
        message_timeout="600s",
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "FULL_DUPLEX_STREAMED",
            "request_trailer_mode": "SEND",
            "response_header_mode": "SEND",
            "response_body_mode": "FULL_DUPLEX_STREAMED",
            "response_trailer_mode": "SEND",
            **mode,
        },
        metadata_options={"receiving_namespaces": {"untyped": ["envoy.lb"]}},
        **fields,
    )


def upstream(hosts: Sequence[str], port: int, streams: str) -> Json:
    """Model servers: a static completion, a metrics page, and ``streams`` (``ip:port``) for what is to be streamed."""

    def answer(match: Json, body: str, content_type: str) -> Json:
        header = {
            "header": {"key": "content-type", "value": content_type},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        direct = {"status": 200, "body": {"inline_string": body}}
        return {"match": match, "direct_response": direct, "response_headers_to_add": [header]}

    streamed = {"prefix": "/", "query_parameters": [{"name": STREAM_QUERY, "present_match": True}]}
    routes = [
        answer({"path": "/metrics"}, METRICS_PAGE, "text/plain; version=0.0.4"),
        {"match": streamed, "route": {"cluster": "streams", "timeout": "0s"}},
        answer({"prefix": "/"}, COMPLETION, "application/json"),
    ]
    # Without it the answer would leave before a long request has come, and break the connection.
    whole = extension(
        "envoy.filters.http.buffer", "envoy.extensions.filters.http.buffer.v3.Buffer", max_request_bytes=4 << 20
    )
    return bootstrap([listener("upstream", hosts, port, routes, [whole])], [cluster("streams", [streams])])


def to_pool(name: str, port: int, filters: Sequence[Json], pool: str = "pool") -> Json:
    """A gateway's listener on loopback, all of whose requests go to the cluster ``pool``."""
    return listener(
        name, ["127.0.0.1"], port, [{"match": {"prefix": "/"}, "route": {"cluster": pool, "timeout": "0s"}}], filters
    )


def bootstrap(listeners: Sequence[Json], clusters: Sequence[Json]) -> Json:
    """A whole static configuration, with an admin server on a free port."""
    return {
        "admin": {"address": address("127.0.0.1", 0)},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
    }


def start_envoy(name: str, directory: Path, config: Json | Path, port: int, host: str = "127.0.0.1") -> Process:
    """Start Envoy with one worker on a configuration (or the file of one) and wait until it listens on ``port``."""
    file = config if isinstance(config, Path) else directory / f"{name}.json"
    if not isinstance(config, Path):
        file.write_text(json.dumps(config, indent=1))
    argv = [str(find_envoy()), "--config-path", str(file), "--use-dynamic-base-id", "--concurrency", "1"]
    argv += ["--log-level", "error", "--admin-address-path", str(admin_file(directory, name))]
    argv += ["--file-flush-interval-msec", "1000"]
    process = Process(name, argv, directory / f"{name}.log")
    try:
        process.listening(host, port)
    except BaseException:
        process.stop()
        raise
    return process


def admin_file(directory: Path, name: str) -> Path:
    """Where the Envoy ``name`` writes the address of its admin server."""
    return directory / f"{name}.admin"
