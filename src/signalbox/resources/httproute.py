"""HTTPRoute: which requests go to which backends."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from signalbox.resources.durations import parse_duration
from signalbox.resources.gatewayapi import GATEWAY_GROUP
from signalbox.resources.httpfilters import Filters, HeaderName
from signalbox.resources.limits import bounded, entries, text, unique_by
from signalbox.resources.metadata import Resource
from signalbox.resources.scalars import DNSLabel, DNSSubdomain, Group, Hostname, Kind, ObjectName, Port
from signalbox.resources.strict import Integer, Opaque, Strict, describe, fault


def _duration(value: object) -> object:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise fault(f"expected a duration, got {describe(value)}", "write it like '300s'")
    try:
        parse_duration(str(value))
    except ValueError as error:
        message, _, fix = str(error).partition("; ")
        raise fault(message, fix) from None
    return value


Duration = Annotated[str, BeforeValidator(_duration)]


class PathMatchType(StrEnum):
    """How a path is compared."""

    EXACT = "Exact"
    PATH_PREFIX = "PathPrefix"
    REGULAR_EXPRESSION = "RegularExpression"


class ValueMatchType(StrEnum):
    """How a header or a query parameter is compared."""

    EXACT = "Exact"
    REGULAR_EXPRESSION = "RegularExpression"


class PathMatch(Strict):
    """A condition on the path. A prefix matches whole segments: ``/v1`` takes ``/v1/models``, not ``/v12``."""

    type: PathMatchType = PathMatchType.PATH_PREFIX
    value: Annotated[str, text(1, 1024)] = "/"

    @model_validator(mode="after")
    def _is_a_path(self) -> PathMatch:
        if self.type is PathMatchType.REGULAR_EXPRESSION:
            return self
        if not self.value.startswith("/"):
            raise fault(f"{self.value!r} does not start with '/'", f"write {'/' + self.value!r}", "value")
        for part in ("//", "/./", "/../", "%2f", "%2F", "#"):
            if part in self.value:
                raise fault(f"{self.value!r} contains {part!r}", f"remove {part!r}", "value")
        for end in ("/..", "/."):
            if self.value.endswith(end):
                raise fault(f"{self.value!r} ends with {end!r}", f"remove {end!r}", "value")
        return self


class HeaderMatch(Strict):
    """A condition on a header; names compare without case."""

    type: ValueMatchType = ValueMatchType.EXACT
    name: HeaderName
    value: Annotated[str, text(1, 4096)]


class QueryParamMatch(Strict):
    """A condition on a query parameter."""

    type: ValueMatchType = ValueMatchType.EXACT
    name: HeaderName
    value: Annotated[str, text(1, 1024)]


class HTTPRouteMatch(Strict):
    """A request matches when all the conditions given hold."""

    path: PathMatch = PathMatch()
    headers: Annotated[tuple[HeaderMatch, ...], entries(0, 16, "header"), unique_by("name", ignore_case=True)] = ()
    query_params: Annotated[tuple[QueryParamMatch, ...], entries(0, 16, "parameter"), unique_by("name")] = ()
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] | None = None


class BackendRef(Strict):
    """A backend and its share of the rule's requests, relative to its siblings' weights; 0 means none."""

    group: Group = ""
    kind: Kind = "Service"
    name: ObjectName
    namespace: DNSLabel | None = None
    port: Port | None = None
    weight: Annotated[Integer, bounded(0, 1_000_000)] = 1
    filters: Filters = ()

    @model_validator(mode="after")
    def _service_needs_port(self) -> BackendRef:
        if self.group == "" and self.kind == "Service" and self.port is None:
            raise fault("is required when the backend is a Service", "add the Service's port", "port")
        return self


class Timeouts(Strict):
    """``request`` bounds the whole exchange, ``backend_request`` one attempt; ``0s`` means no bound."""

    request: Duration | None = None
    backend_request: Duration | None = None

    @property
    def request_seconds(self) -> float | None:
        """``request`` in seconds."""
        return None if self.request is None else parse_duration(self.request)

    @property
    def backend_request_seconds(self) -> float | None:
        """``backend_request`` in seconds."""
        return None if self.backend_request is None else parse_duration(self.backend_request)

    @model_validator(mode="after")
    def _attempt_within_request(self) -> Timeouts:
        whole, attempt = self.request_seconds, self.backend_request_seconds
        if whole and attempt is not None and attempt > whole:
            message = f"{self.backend_request} is longer than request, {self.request}"
            raise fault(message, "shorten backendRequest or lengthen request", "backendRequest")
        return self


EVERY_REQUEST = (HTTPRouteMatch(),)


class HTTPRouteRule(Strict):
    """A request that meets any of ``matches`` goes to one of ``backend_refs``; with no matches every request does."""

    name: DNSSubdomain | None = None
    matches: Annotated[
        tuple[HTTPRouteMatch, ...], entries(0, 64, "alternative"), AfterValidator(lambda given: given or EVERY_REQUEST)
    ] = EVERY_REQUEST
    filters: Filters = ()
    backend_refs: Annotated[tuple[BackendRef, ...], entries(0, 16, "backend")] = ()
    timeouts: Timeouts | None = None
    retry: Opaque = None
    session_persistence: Opaque = None


class ParentRef(Strict):
    """What a route attaches to: a Gateway, one listener of it (``section_name``), or its listeners on a port."""

    group: Group = GATEWAY_GROUP
    kind: Kind = "Gateway"
    namespace: DNSLabel | None = None
    name: ObjectName
    section_name: DNSSubdomain | None = None
    port: Port | None = None


class HTTPRouteSpec(Strict):
    """Rules in order; with no rules given there is one that takes every request and has no backend."""

    parent_refs: Annotated[tuple[ParentRef, ...], entries(0, 32, "parent")] = ()
    hostnames: Annotated[tuple[Hostname, ...], entries(0, 16, "host name")] = ()
    rules: Annotated[tuple[HTTPRouteRule, ...], entries(1, 16, "rule"), unique_by("name")] = (HTTPRouteRule(),)
    use_default_gateways: Opaque = None


class HTTPRoute(Resource):
    """``gateway.networking.k8s.io/v1`` (or v1beta1) HTTPRoute."""

    api_version: str = f"{GATEWAY_GROUP}/v1"
    kind: Literal["HTTPRoute"] = "HTTPRoute"
    spec: HTTPRouteSpec = HTTPRouteSpec()
    status: Opaque = None
