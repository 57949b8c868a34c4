"""Envoy listeners: one for each port, with its HTTP connection manager."""

from __future__ import annotations

from signalbox.gateway.envoy import bodyrouter
from signalbox.gateway.envoy.layout import ACCESS_LOG, route_file, source
from signalbox.gateway.envoy.model import DESTINATION, MIB, Json, Options, extension, typed
from signalbox.gateway.envoy.pickerfilter import filters
from signalbox.gateway.envoy.replies import local_replies

# A model may think for long before its first token, and a streamed answer may pause.
_IDLE_STREAM = "3600s"

_ACCESS_FIELDS = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "duration_ms": "%DURATION%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
}


def listener_name(port: int) -> str:
    """The name of the listener on a port, and of its route configuration."""
    return f"port-{port}"


def listener(port: int, options: Options, by_model: bool = False) -> Json:
    """The listener on one port, which takes its routes from the route configuration of the same name.

    With ``by_model`` the body's model is known before the route is chosen.
    """
    name = listener_name(port)
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        rds={"route_config_name": name, "config_source": source(options.directory, route_file(name))},
        use_remote_address=True,
        normalize_path=True,
        generate_request_id=True,
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        stream_idle_timeout=_IDLE_STREAM,
        # Before any filter: a client must not choose its endpoint, least of all while the picker is gone.
        early_header_mutation_extensions=[
            extension(
                "envoy.http.early_header_mutation.header_mutation",
                "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                mutations=[{"remove": DESTINATION}],
            )
        ],
        local_reply_config=local_replies(options),
        access_log=[
            extension(
                "envoy.access_loggers.file",
                "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                path=str(options.directory / ACCESS_LOG),
                log_format={"json_format": _ACCESS_FIELDS},
            )
        ],
        http_filters=[
            *([bodyrouter.body_filter()] if by_model else ()),
            *filters(options, asleep=not by_model),
            {
                "name": "envoy.filters.http.router",
                "typed_config": typed("envoy.extensions.filters.http.router.v3.Router"),
            },
        ],
    )
    return {
        "name": name,
        "address": {"socket_address": {"address": options.listen_host, "port_value": port}},
        # With it, a second program could listen on the same port and take half of the connections, unnoticed.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": MIB,
        "filter_chains": [{"filters": [manager]}],
    }
