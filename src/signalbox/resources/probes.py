"""Probes: how a kubelet asks a container how it is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from signalbox.resources.limits import bounded
from signalbox.resources.scalars import Port
from signalbox.resources.strict import Integer, IntegerOrString, Opaque, Strict, fault

_LONGEST = 2**31 - 1
Seconds = Annotated[Integer, bounded(0, _LONGEST)]
PositiveCount = Annotated[Integer, bounded(1, _LONGEST)]


class HTTPGet(Strict):
    """A GET that must answer 200 to 399; ``port`` is a number or the name of a container port."""

    path: str = "/"
    port: IntegerOrString
    host: str = ""
    scheme: str = "HTTP"
    http_headers: Opaque = None


class GRPCProbe(Strict):
    """A call of the gRPC health service."""

    port: Port
    service: str = ""


class TCPSocket(Strict):
    """A connection that must open; ``port`` is a number or the name of a container port."""

    port: IntegerOrString
    host: str = ""


class Probe(Strict):
    """One question and its timing, in seconds; the defaults are Kubernetes' own."""

    http_get: HTTPGet | None = None
    grpc: GRPCProbe | None = None
    tcp_socket: TCPSocket | None = None
    command: Opaque = Field(default=None, alias="exec")
    initial_delay_seconds: Seconds = 0
    period_seconds: PositiveCount = 10
    timeout_seconds: PositiveCount = 1
    success_threshold: PositiveCount = 1
    failure_threshold: PositiveCount = 3
    termination_grace_period_seconds: Opaque = None

    @model_validator(mode="after")
    def _one_question(self) -> Probe:
        asked = [way for way in (self.http_get, self.grpc, self.tcp_socket, self.command) if way is not None]
        if len(asked) != 1:
            verb = "keep" if asked else "add"
            raise fault(
                f"must ask in exactly one way, got {len(asked)}", f"{verb} one of httpGet, grpc, tcpSocket, exec"
            )
        return self
