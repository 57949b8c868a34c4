"""The HTTP filters that ask a pool's picker, and refuse what it did not answer.

Both do nothing unless a backend turns them on. The picker filter always lets a request pass when the picker fails, in
both failure modes: that is what keeps an answer flowing whose picker dies in the middle of it. ``FailClose`` is the
work of the second filter, the guard: a request that comes by with no endpoint named gets 503. So a picker that is gone,
that hangs, or that ends its stream politely without an answer (which Envoy takes as consent) all come to the same.
"""

from __future__ import annotations

from signalbox.gateway.envoy.model import DESTINATION, Json, Options, PoolBackend, extension, seconds, typed
from signalbox.resources import FailureMode

PICKER = "envoy.filters.http.ext_proc"
GUARD = "envoy.filters.http.fault"

_EXT_PROC = "envoy.extensions.filters.http.ext_proc.v3"
MODE = {
    "request_header_mode": "SEND",
    "request_body_mode": "BUFFERED",
    "request_trailer_mode": "SKIP",
    "response_header_mode": "SEND",
    "response_body_mode": "STREAMED",
    "response_trailer_mode": "SKIP",
}
"""What a picker is shown of each request and answer."""

_BODIES = ("request_body_mode", "response_body_mode")
_FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault"


def filters(options: Options, asleep: bool = True) -> list[Json]:
    """The picker filter and the guard, in the order in which a request meets them.

    ``asleep``: both are switched off, for a chain whose route is known when it is built. Else both are there and do
    nothing but what the backend says.
    """
    picker = extension(
        PICKER,
        f"{_EXT_PROC}.ExternalProcessor",
        # Every backend that turns the filter on names its own picker; this cluster does not exist.
        grpc_service={"envoy_grpc": {"cluster_name": "picker"}},
        failure_mode_allow=True,
        message_timeout=seconds(options.message_timeout),
        max_message_timeout=seconds(options.message_timeout),
        allow_mode_override=True,
        processing_mode=MODE if asleep else dict.fromkeys(MODE, "SKIP") | dict.fromkeys(_BODIES, "NONE"),
        # Pickers clear the route cache for gateways that route by model; here that would draw among the weights again.
        route_cache_action="RETAIN",
        mutation_rules={"allow_all_routing": True, "allow_envoy": True},
        metadata_options={
            "forwarding_namespaces": {"untyped": ["envoy.lb.subset_hint", "envoy.lb"]},
            "receiving_namespaces": {"untyped": ["envoy.lb"]},
        },
    )
    switch = {"disabled": True} if asleep else {}
    return [{**picker, **switch}, {**extension(GUARD, _FAULT), **switch}]


def enabled_for(pool: PoolBackend, asleep: bool = True) -> Json:
    """The ``typed_per_filter_config`` of a backend that is this pool; ``asleep`` as in ``filters``."""
    service = {"envoy_grpc": {"cluster_name": pool.picker_cluster}}
    overrides = {"grpc_service": service} | ({} if asleep else {"processing_mode": MODE})
    configs = {PICKER: typed(f"{_EXT_PROC}.ExtProcPerRoute", overrides=overrides)}
    if pool.failure_mode is FailureMode.FAIL_CLOSE:
        configs[GUARD] = typed(
            _FAULT,
            abort={"http_status": 503, "percentage": {"numerator": 100}},
            headers=[{"name": DESTINATION, "present_match": True, "invert_match": True}],
        )
    return configs
