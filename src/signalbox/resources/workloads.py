"""Deployment, ConfigMap and Service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from signalbox.resources.containers import PodSpec
from signalbox.resources.limits import bounded, text, unique_by
from signalbox.resources.metadata import ObjectMeta, Resource, TemplateMeta
from signalbox.resources.scalars import Labels, Port, ServiceName
from signalbox.resources.strict import Boolean, Integer, IntegerOrString, Opaque, Strict, fault

ConfigKey = Annotated[str, text(1, 253, r"[-._a-zA-Z0-9]+", "letters, digits, '-', '_' and '.'")]


class LabelSelector(Strict):
    """Labels a pod must have. Expressions are accepted and not evaluated."""

    match_labels: Labels = Field(default={})
    match_expressions: Opaque = None


class PodTemplate(Strict):
    """What each pod of a Deployment is made from."""

    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec


class DeploymentSpec(Strict):
    """How many pods, and of what kind."""

    replicas: Annotated[Integer, bounded(0, 2**31 - 1)] = 1
    selector: LabelSelector
    template: PodTemplate
    strategy: Opaque = None
    min_ready_seconds: Opaque = None
    revision_history_limit: Opaque = None
    paused: Opaque = None
    progress_deadline_seconds: Opaque = None

    @model_validator(mode="after")
    def _pods_restart(self) -> DeploymentSpec:
        if self.template.spec.restart_policy != "Always":
            message = f"must be Always in a Deployment, got '{self.template.spec.restart_policy}'"
            raise fault(message, "write Always or remove it", "template", "spec", "restartPolicy")
        return self

    @model_validator(mode="after")
    def _selects_its_own_pods(self) -> DeploymentSpec:
        if not self.selector.match_labels and self.selector.match_expressions is None:
            raise fault("selects nothing in particular", "add matchLabels with a label of the template", "selector")
        labels = self.template.metadata.labels
        for name, value in self.selector.match_labels.items():
            if labels.get(name) != value:
                found = f"has {labels[name]!r}" if name in labels else "has no such label"
                message = f"asks for {value!r}, but template.metadata.labels {found}"
                raise fault(
                    message, "make the selector and the template's labels agree", "selector", "matchLabels", name
                )
        return self


class Deployment(Resource):
    """``apps/v1`` Deployment."""

    api_version: str = "apps/v1"
    kind: Literal["Deployment"] = "Deployment"
    spec: DeploymentSpec
    status: Opaque = None


class ConfigMap(Resource):
    """``v1`` ConfigMap. It has ``data`` where other kinds have ``spec``; ``binary_data`` is kept in base64."""

    api_version: str = "v1"
    kind: Literal["ConfigMap"] = "ConfigMap"
    data: dict[ConfigKey, str] = Field(default={})
    binary_data: dict[ConfigKey, str] = Field(default={})
    immutable: Boolean = False


class ServicePort(Strict):
    """A port of a Service; ``target_port`` is a number or the name of a container port, ``port`` where absent."""

    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    port: Port
    target_port: IntegerOrString | None = None
    node_port: Opaque = None
    app_protocol: str = ""


class ServiceSpec(Strict):
    """Which pods a Service reaches, and on which ports."""

    selector: Labels = Field(default={})
    ports: Annotated[tuple[ServicePort, ...], unique_by("name")] = ()
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    cluster_ip: str = Field(default="", alias="clusterIP")
    external_name: str = ""
    allocate_load_balancer_node_ports: Opaque = None
    cluster_ips: Opaque = Field(default=None, alias="clusterIPs")
    external_ips: Opaque = Field(default=None, alias="externalIPs")
    external_traffic_policy: Opaque = None
    health_check_node_port: Opaque = None
    internal_traffic_policy: Opaque = None
    ip_families: Opaque = None
    ip_family_policy: Opaque = None
    load_balancer_class: Opaque = None
    load_balancer_ip: Opaque = Field(default=None, alias="loadBalancerIP")
    load_balancer_source_ranges: Opaque = None
    publish_not_ready_addresses: Opaque = None
    session_affinity: Opaque = None
    session_affinity_config: Opaque = None
    traffic_distribution: Opaque = None

    @model_validator(mode="after")
    def _several_ports_have_names(self) -> ServiceSpec:
        for index, port in enumerate(self.ports):
            if len(self.ports) > 1 and not port.name:
                raise fault("is required where a Service has several ports", "add a name", "ports", index, "name")
        return self


class ServiceMeta(ObjectMeta):
    """A Service's name is a DNS label, since it becomes one."""

    name: ServiceName


class Service(Resource):
    """``v1`` Service."""

    api_version: str = "v1"
    kind: Literal["Service"] = "Service"
    metadata: ServiceMeta
    spec: ServiceSpec
    status: Opaque = None
