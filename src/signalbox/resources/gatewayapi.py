"""Gateway: where traffic comes in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from signalbox.resources.limits import entries, text, unique_by
from signalbox.resources.metadata import Resource
from signalbox.resources.scalars import DNSSubdomain, Hostname, ObjectName, Port
from signalbox.resources.strict import Opaque, Strict, fault

GATEWAY_GROUP = "gateway.networking.k8s.io"

Protocol = Annotated[
    str,
    text(
        1,
        255,
        r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?|[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]+",
        "a protocol like 'HTTP', 'HTTPS', 'TLS', 'TCP' or 'UDP'",
    ),
]


class Listener(Strict):
    """One port a Gateway listens on; with no ``hostname`` it takes every host."""

    name: DNSSubdomain
    hostname: Hostname | None = None
    port: Port
    protocol: Protocol
    tls: Opaque = None
    allowed_routes: Opaque = None

    @model_validator(mode="after")
    def _fields_suit_protocol(self) -> Listener:
        if self.tls is not None and self.protocol in ("HTTP", "TCP", "UDP"):
            raise fault(f"must not be set when protocol is {self.protocol}", "remove tls, or use HTTPS or TLS", "tls")
        if self.hostname is not None and self.protocol in ("TCP", "UDP"):
            raise fault(f"must not be set when protocol is {self.protocol}", "remove hostname", "hostname")
        return self


class GatewaySpec(Strict):
    """A Gateway's listeners."""

    gateway_class_name: ObjectName
    listeners: Annotated[tuple[Listener, ...], entries(1, 64, "listener"), unique_by("name")]
    addresses: Opaque = None
    allowed_listeners: Opaque = None
    backend_tls: Opaque = Field(default=None, alias="backendTLS")
    default_scope: Opaque = None
    infrastructure: Opaque = None
    tls: Opaque = None

    @model_validator(mode="after")
    def _listeners_differ(self) -> GatewaySpec:
        seen: dict[tuple[int, str, str | None], str] = {}
        for index, listener in enumerate(self.listeners):
            identity = (listener.port, listener.protocol, listener.hostname)
            if identity in seen:
                message = f"has the port, protocol and hostname of listener {seen[identity]!r}"
                raise fault(message, "change one of them", "listeners", index)
            seen[identity] = listener.name
        return self


class Gateway(Resource):
    """``gateway.networking.k8s.io/v1`` (or v1beta1) Gateway."""

    api_version: str = f"{GATEWAY_GROUP}/v1"
    kind: Literal["Gateway"] = "Gateway"
    spec: GatewaySpec
    status: Opaque = None
