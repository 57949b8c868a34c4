"""Envoy clusters: the pods of a pool, its picker, the pods of a Service."""

from __future__ import annotations

from collections.abc import Iterable

from signalbox.gateway.envoy.layout import endpoint_file, source
from signalbox.gateway.envoy.model import (
    DESTINATION,
    SERVED,
    Json,
    Options,
    PoolBackend,
    ServiceBackend,
    extension,
    typed,
)

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_BALANCING = "envoy.load_balancing_policies"
_NO_LIMIT = 100_000

# uvicorn, and with it vLLM, closes a connection after 5 s without a request. Envoy must be the first to let go: a
# request written to a connection the server is just closing is reset, and a POST that was written is not sent again.
_IDLE = "4s"


def pool_cluster(pool: PoolBackend, options: Options) -> Json:
    """The pods of a pool: the endpoint the picker named, else any (least requests of two)."""
    chosen = extension(
        f"{_BALANCING}.override_host",
        "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        override_host_sources=[
            {"header": DESTINATION},
            {"metadata": _load_balancing(DESTINATION)},
        ],
        selected_host_key=_load_balancing(SERVED),
        fallback_policy=_policy("least_request", "LeastRequest"),
    )
    balancing = {"policies": [{"typed_extension_config": chosen}]}
    return _pods(pool.cluster, options) | {"load_balancing_policy": balancing}


def service_cluster(service: ServiceBackend, options: Options) -> Json:
    """The pods behind one port of a Service, in turn."""
    return _pods(service.cluster, options) | {"load_balancing_policy": _policy("round_robin", "RoundRobin")}


def picker_cluster(pool: PoolBackend) -> Json:
    """The picker of a pool."""
    return ext_proc_cluster(pool.picker_cluster, pool.picker)


def ext_proc_cluster(name: str, address: str) -> Json:
    """One gRPC server at ``ip:port``, which carries one stream for each request under way."""
    # Pings find a picker that is connected but stopped: in 6 s, where the kernel would take minutes.
    keepalive = {"interval": "3s", "timeout": "3s"}
    windows = {"initial_stream_window_size": 1 << 20, "initial_connection_window_size": 1 << 24}
    http2 = {"http2_protocol_options": {"connection_keepalive": keepalive, **windows}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": load_assignment(name, (address,)),
        "typed_extension_protocol_options": {_HTTP_OPTIONS: typed(_HTTP_OPTIONS, explicit_http_config=http2)},
        **_common(),
    }


def load_assignment(cluster: str, endpoints: Iterable[str]) -> Json:
    """A ``ClusterLoadAssignment`` with these ``ip:port`` addresses. Raises ValueError when one is not such."""
    members = [{"endpoint": {"address": socket_address(address)}} for address in dict.fromkeys(endpoints)]
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": members}] if members else []}


def socket_address(address: str) -> Json:
    """``ip:port``, IPv6 in brackets, as an Envoy address. Raises ValueError when it is not one."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) <= 65_535 or (":" in host) != host.startswith("["):
        raise ValueError(f"endpoint {address!r} is not an address; write ip:port, with an IPv6 address in brackets")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def _pods(name: str, options: Options) -> Json:
    http = {
        "common_http_protocol_options": {"idle_timeout": _IDLE},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": source(options.directory, endpoint_file(name))},
        "connect_timeout": "2s",
        # The endpoints listed are the ready ones: there is no share of them below which all others should be tried.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_time": 30, "keepalive_interval": 10, "keepalive_probes": 3}
        },
        "typed_extension_protocol_options": {_HTTP_OPTIONS: typed(_HTTP_OPTIONS, **http)},
        **_common(),
    }


def _common() -> Json:
    # Envoy's defaults (1,024 requests, 3 retries) would refuse work; how much a pool takes is the picker's to say.
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"circuit_breakers": {"thresholds": [dict.fromkeys(limits, _NO_LIMIT)]}}


def _load_balancing(key: str) -> Json:
    return {"key": "envoy.lb", "path": [{"key": key}]}


def _policy(name: str, message: str) -> Json:
    policy = extension(f"{_BALANCING}.{name}", f"envoy.extensions.load_balancing_policies.{name}.v3.{message}")
    return {"policies": [{"typed_extension_config": policy}]}
