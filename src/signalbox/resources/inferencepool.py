"""InferencePool in its v1 shape, the only shape the other rooms see."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from signalbox.resources.limits import Rule, entries, unique_by
from signalbox.resources.metadata import Resource
from signalbox.resources.references import STABLE_GROUP
from signalbox.resources.scalars import Group, Kind, Labels, ObjectName, Port
from signalbox.resources.strict import Opaque, Strict, fault


class FailureMode(StrEnum):
    """What becomes of requests while the endpoint picker cannot be reached."""

    FAIL_OPEN = "FailOpen"
    FAIL_CLOSE = "FailClose"


class AppProtocol(StrEnum):
    """The protocol the model servers of a pool speak."""

    HTTP = "http"
    H2C = "kubernetes.io/h2c"


PORTS_DIFFER = Rule(
    "self.all(p1, self.exists_one(p2, p1.number==p2.number))",
    "port number must be unique",
    {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number"]},
)
SERVICE_NEEDS_PORT = Rule(
    "self.kind != 'Service' || has(self.port)",
    "port is required when kind is 'Service' or unspecified (defaults to 'Service')",
    {"anyOf": [{"required": ["port"]}, {"not": {"properties": {"kind": {"enum": ["Service"]}}}}]},
)


class TargetPort(Strict):
    """A port number, wrapped as the API wraps it."""

    number: Port


class Selector(Strict):
    """Labels a pod must have, all of them, with exactly these values."""

    match_labels: Annotated[Labels, entries(1, 64, "label")]


class EndpointPickerRef(Strict):
    """The service that picks endpoints for a pool."""

    schema_rules: ClassVar[tuple[Rule, ...]] = (SERVICE_NEEDS_PORT,)

    group: Group = ""
    kind: Kind = "Service"
    name: ObjectName
    port_number: TargetPort | None = Field(default=None, alias="port")
    failure_mode: FailureMode = FailureMode.FAIL_CLOSE

    @property
    def port(self) -> int | None:
        """The port number; always given where ``kind`` is ``Service``."""
        return self.port_number.number if self.port_number else None

    @model_validator(mode="after")
    def _service_needs_port(self) -> EndpointPickerRef:
        if self.kind == "Service" and self.port_number is None:
            raise fault(
                "is required when kind is 'Service' or unspecified",
                "add 'port: {number: 9002}', the usual port",
                "port",
            )
        return self


class InferencePoolSpec(Strict):
    """Which pods serve, on which ports, and who picks among them."""

    selector: Selector
    target_ports: Annotated[tuple[TargetPort, ...], entries(1, 8, "port"), unique_by("number"), PORTS_DIFFER]
    app_protocol: AppProtocol = AppProtocol.HTTP
    endpoint_picker_ref: EndpointPickerRef | None = None


class InferencePool(Resource):
    """``inference.networking.k8s.io/v1`` InferencePool."""

    api_version: str = f"{STABLE_GROUP}/v1"
    kind: Literal["InferencePool"] = "InferencePool"
    spec: InferencePoolSpec
    status: Opaque = None
