"""Pod: what runs a model server, and whether it is ready."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from signalbox.resources.containers import PodSpec
from signalbox.resources.metadata import Resource
from signalbox.resources.scalars import Timestamp
from signalbox.resources.strict import Integer, Opaque, Strict, fault


class PodCondition(Strict):
    """One aspect of a pod's state; ``status`` is True, False or Unknown."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    message: str = ""
    observed_generation: Integer | None = None
    last_probe_time: Timestamp | None = None
    last_transition_time: Timestamp | None = None


def _address(value: str) -> str:
    try:
        return str(ip_address(value)) if value else value
    except ValueError:
        raise fault(f"{value!r} is not an IP address", "write one such as 10.0.0.7 or fd00::7") from None


class PodStatus(Strict):
    """``pod_ip`` is empty until the pod has an address."""

    phase: str = ""
    conditions: tuple[PodCondition, ...] = ()
    host_ip: str = Field(default="", alias="hostIP")
    pod_ip: Annotated[str, AfterValidator(_address)] = Field(default="", alias="podIP")
    start_time: Timestamp | None = None
    message: str = ""
    reason: str = ""
    observed_generation: Integer | None = None
    allocated_resources: Opaque = None
    container_statuses: Opaque = None
    ephemeral_container_statuses: Opaque = None
    extended_resource_claim_status: Opaque = None
    host_ips: Opaque = Field(default=None, alias="hostIPs")
    init_container_statuses: Opaque = None
    node_allocatable_resource_claim_statuses: Opaque = None
    nominated_node_name: Opaque = None
    pod_ips: Opaque = Field(default=None, alias="podIPs")
    qos_class: Opaque = None
    resize: Opaque = None
    resource_claim_statuses: Opaque = None
    resources: Opaque = None


class Pod(Resource):
    """``v1`` Pod. One that is listed only for its address and labels needs no ``spec``."""

    api_version: str = "v1"
    kind: Literal["Pod"] = "Pod"
    spec: PodSpec | None = None
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """Whether the condition Ready is True."""
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)

    @property
    def terminating(self) -> bool:
        """Whether the pod has been asked to go."""
        return self.metadata.deletion_timestamp is not None
