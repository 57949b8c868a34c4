"""Routing by the body: the HTTP filter that asks body-based routing, and what a listener with it needs.

Envoy builds a request's filter chain from the route it finds before any filter has run, which is before the model is
known. So on such a listener the picker filter is not switched off as elsewhere but has nothing to do, unless the
backend of the route that is chosen in the end gives it something to do.
"""

from __future__ import annotations

from collections.abc import Iterable

from signalbox.gateway.envoy.clusters import ext_proc_cluster
from signalbox.gateway.envoy.model import Json, Options, extension
from signalbox.resources import HTTPRoute

NAME = "signalbox.body_router"
CLUSTER = "body-router"

MODEL_HEADERS = frozenset({"x-gateway-model-name", "x-gateway-base-model-name"})
"""Headers that body-based routing sets, in lower case."""

NOWHERE = "no-route"
"""A cluster that never exists: where a request goes that no HTTPRoute matches."""

_EXT_PROC = "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"


def routes_by_model(route: HTTPRoute) -> bool:
    """Whether a route matches on a header that body-based routing sets."""
    return any(
        header.name.lower() in MODEL_HEADERS
        for rule in route.spec.rules
        for match in rule.matches
        for header in match.headers
    )


def wanted(routes: Iterable[HTTPRoute]) -> bool:
    """Whether some route cannot be chosen without the body."""
    return any(map(routes_by_model, routes))


def body_filter() -> Json:
    """The filter that has the model lifted into the headers. A request is held until that is done.

    While nobody answers, requests get 503: without the header they would go to whatever route matches without it.
    """
    return extension(
        NAME,
        _EXT_PROC,
        grpc_service={"envoy_grpc": {"cluster_name": CLUSTER}},
        failure_mode_allow=False,
        status_on_error={"code": "ServiceUnavailable"},
        message_timeout="30s",
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "request_trailer_mode": "SKIP",
            "response_header_mode": "SKIP",
            "response_body_mode": "NONE",
            "response_trailer_mode": "SKIP",
        },
    )


def cluster(options: Options) -> Json:
    """The cluster of body-based routing's ext_proc service."""
    return ext_proc_cluster(CLUSTER, options.body_router)


def no_route(options: Options) -> Json:
    """The last route of a host: it takes what no HTTPRoute matches, and is answered with 404.

    Without it the body of a request whose model is not known yet could be no longer than a connection's buffer.
    """
    action = {
        "cluster": NOWHERE,
        "cluster_not_found_response_code": "NOT_FOUND",
        "timeout": "0s",
    }
    return {
        "name": NOWHERE,
        "match": {"prefix": "/"},
        "route": action,
        "request_body_buffer_limit": options.body_limit,
    }
