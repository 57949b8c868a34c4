"""InferencePool as written before it was stable, and its conversion to v1."""

from __future__ import annotations

from typing import Literal

from signalbox.resources.inferencepool import (
    EndpointPickerRef,
    FailureMode,
    InferencePool,
    InferencePoolSpec,
    Selector,
    TargetPort,
)
from signalbox.resources.metadata import Resource
from signalbox.resources.references import EXPERIMENTAL_GROUP
from signalbox.resources.scalars import Group, Kind, Labels, ObjectName, Port
from signalbox.resources.strict import Opaque, Strict

DEFAULT_PICKER_PORT = 9002
"""The port of a picker Service whose reference names none (v1alpha2 lets it be inferred; v1 requires it)."""


class ExtensionRef(Strict):
    """The service that picks endpoints, under its old name."""

    group: Group = ""
    kind: Kind = "Service"
    name: ObjectName
    port_number: Port | None = None
    failure_mode: FailureMode = FailureMode.FAIL_CLOSE

    def to_v1(self) -> EndpointPickerRef:
        """Return the same reference in v1; a Service without a port gets 9002."""
        number = self.port_number
        if number is None and self.kind == "Service":
            number = DEFAULT_PICKER_PORT
        return EndpointPickerRef(
            group=self.group,
            kind=self.kind,
            name=self.name,
            port_number=TargetPort(number=number) if number is not None else None,
            failure_mode=self.failure_mode,
        )


class InferencePoolV1Alpha2Spec(Strict):
    """Which pods serve, on which port, and who picks among them. The selector may be empty; in v1 it may not."""

    selector: Labels
    target_port_number: Port
    extension_ref: ExtensionRef


class InferencePoolV1Alpha2(Resource):
    """``inference.networking.x-k8s.io/v1alpha2`` InferencePool."""

    api_version: str = f"{EXPERIMENTAL_GROUP}/v1alpha2"
    kind: Literal["InferencePool"] = "InferencePool"
    spec: InferencePoolV1Alpha2Spec
    status: Opaque = None

    def to_v1(self) -> InferencePool:
        """Return the same pool in v1. The status is dropped: gateways write it anew, in another shape.

        A selector that v1 does not allow, empty or of more than 64 labels, is kept: the old schema allows it.
        """
        return InferencePool(
            metadata=self.metadata,
            spec=InferencePoolSpec(
                selector=Selector.model_construct(match_labels=self.spec.selector),
                target_ports=(TargetPort(number=self.spec.target_port_number),),
                endpoint_picker_ref=self.spec.extension_ref.to_v1(),
            ),
        )
