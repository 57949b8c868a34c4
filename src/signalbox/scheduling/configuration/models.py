"""The shape of an EndpointPickerConfig. What its parts mean together is checked by the loader."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictFloat

from signalbox.resources.limits import text, unique_by
from signalbox.resources.strict import Boolean, Integer, Strict
from signalbox.scheduling.parameters import Bounds, Duration, Quantity

KIND = "EndpointPickerConfig"
API_VERSIONS = ("llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1")

NAME_LENGTH = 253

Name = Annotated[str, text(1, NAME_LENGTH)]


class PluginSpec(Strict):
    """One plugin: ``name`` is its type where it is not given."""

    name: Annotated[str, text(0, NAME_LENGTH)] = ""
    type: Name
    parameters: dict[str, Any] = Field(default_factory=dict)


class Reference(Strict):
    """The name of a plugin of the list."""

    plugin_ref: Name


class ProfilePlugin(Reference):
    """One plugin of a profile. Only scorers have a weight."""

    weight: Annotated[StrictFloat, Bounds(minimum=0)] | None = None


class SchedulingProfile(Strict):
    """One way to choose: filters in order, scorers with weights, a picker."""

    name: Name
    plugins: tuple[ProfilePlugin, ...] = ()


class RequestHandler(Strict):
    """How bodies are read."""

    parsers: tuple[Reference, ...] = ()


class DataSource(Reference):
    """Where metrics come from and what is made of them."""

    extractors: tuple[Reference, ...] = ()


class DataLayer(Strict):
    """How the picker learns about endpoints."""

    inject_defaults: Boolean = True
    sources: tuple[DataSource, ...] = ()
    discovery: Reference | None = None
    peer_discovery: Reference | None = None
    cross_replica_syncer_plugin_ref: str = ""
    cross_replica_sync_interval: Duration = 0.2


class BandTemplate(Strict):
    """Limits and policies of a priority band."""

    max_bytes: Quantity | None = None
    max_requests: Quantity | None = None
    fairness_policy_ref: str = ""
    ordering_policy_ref: str = ""


class PriorityBand(BandTemplate):
    """The band of one priority."""

    priority: Integer


class DetectorReference(Strict):
    """The saturation detector; an empty name is an error, an absent one the default."""

    plugin_ref: Annotated[str, text(1, NAME_LENGTH, wanted="the name of a detector")] = "utilization-detector"


class FlowControl(Strict):
    """Queues in the picker. Only the saturation detector applies here."""

    max_bytes: Quantity | None = None
    max_requests: Quantity | None = None
    default_request_ttl: Duration | None = Field(default=None, alias="defaultRequestTTL")
    no_endpoint_request_ttl: Duration | None = Field(default=None, alias="noEndpointRequestTTL")
    default_priority_band: BandTemplate | None = None
    default_negative_priority_band: BandTemplate | None = None
    priority_bands: Annotated[tuple[PriorityBand, ...], unique_by("priority")] = ()
    usage_limit_policy_plugin_ref: str = ""
    saturation_detector: DetectorReference | None = None
    enable_eviction: Boolean = False


class EndpointPickerConfig(Strict):
    """The configuration of an endpoint picker, as GIE and llm-d write it."""

    api_version: Literal["llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1"]
    kind: Literal["EndpointPickerConfig"]
    feature_gates: tuple[str, ...] = ()
    plugins: tuple[PluginSpec, ...] = ()
    scheduling_profiles: Annotated[tuple[SchedulingProfile, ...], unique_by("name")] = ()
    request_handler: RequestHandler | None = None
    data_layer: DataLayer | None = None
    flow_control: FlowControl | None = None
    saturation_detector: DetectorReference | None = None
    parser: Reference | None = None


DEFAULT_SCORERS: dict[str, float] = {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3}
"""The scorers of a configuration that names none, and their weights."""
