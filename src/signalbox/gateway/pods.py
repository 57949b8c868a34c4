"""What a Deployment means on this machine: pods of simulated servers, a picker that is ours, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from signalbox import resources as spec
from signalbox.gateway.containers import (
    Container,
    is_body_router,
    is_picker_image,
    last_option,
    listen_port,
    model_name,
    syncer_arguments,
    vllm_arguments,
)
from signalbox.gateway.picker_deployment import PickerSettings, picker_settings
from signalbox.gateway.podspec import ConfigMapVolume, Mount, config_map_volumes, container_of, mounts_of, probes_of
from signalbox.gateway.probes import Probes
from signalbox.resources import Deployment, InferencePool, Key, Service

SYNCER_VARIABLE = "DYNAMIC_LORA_ROLLOUT_CONFIG"
SYNCER_METRICS_PORT = 8080
"""Where a syncer serves its metrics without ``--metrics-port``."""

_HOST_VARIABLES = ("PYTHON", "LD_", "DYLD_")
"""Prefixes of variables that steer interpreter and loader: an image's values would break a process of this machine."""


@dataclass(frozen=True, slots=True)
class Syncer:
    """A LoRA syncer beside the server of a pod."""

    name: str
    config: str
    """The configuration file as the container sees it."""
    mounts: tuple[Mount, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    """The flags of the manifest, without the program they are for."""

    @property
    def metrics_port(self) -> int:
        """The port it serves metrics on inside the pod; 0 where the manifest wants none."""
        text = last_option(self.arguments, "--metrics-port") or ""
        return int(text) if text.isdecimal() else SYNCER_METRICS_PORT

    @property
    def once(self) -> bool:
        """Whether it ends after one pass, as a plain init container does."""
        return "--once" in self.arguments


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """Everything needed to run one pod of a Deployment."""

    namespace: str
    deployment: str
    revision: str
    """Short hash of the Deployment's template: pods of another revision are replaced."""
    labels: Mapping[str, str]
    arguments: tuple[str, ...]
    """The vLLM server's own arguments."""
    port: int
    environment: Mapping[str, str]
    probes: Probes
    syncers: tuple[Syncer, ...] = ()
    volumes: tuple[ConfigMapVolume, ...] = ()
    grace: float = 30.0
    """Seconds that a pod may take to finish its requests when it is stopped."""

    @property
    def model(self) -> str | None:
        """The name clients use for the base model."""
        return model_name(self.arguments)


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment of model servers."""

    key: Key
    replicas: int
    template: PodTemplate


@dataclass(frozen=True, slots=True)
class Workloads:
    """What the Deployments of a manifest set come to."""

    servers: tuple[Workload, ...]
    pickers: Mapping[Key, PickerSettings]
    """For each pool whose picker is deployed here: the settings to pass on to ours."""
    notes: tuple[str, ...]
    """What a reader should know: what is not run, and why."""


def read_workloads(
    deployments: Iterable[Deployment], pools: Iterable[InferencePool], services: Iterable[Service]
) -> Workloads:
    """Sort Deployments into model servers, pickers and the rest."""
    pools, services = tuple(pools), tuple(services)
    servers: list[Workload] = []
    pickers: dict[Key, PickerSettings] = {}
    notes: list[str] = []
    for deployment in deployments:
        name = f"Deployment {deployment.metadata.namespace}/{deployment.metadata.name}"
        workload, remarks = _server(deployment)
        if workload is not None:
            servers.append(workload)
            notes += [f"{name}: {remark}" for remark in remarks]
            continue
        served = _pools_picked_by(deployment, pools, services)
        if served or any(is_picker_image(c.image) for c in deployment.spec.template.spec.containers):
            notes.append(f"{name}: replaced by signalbox's own picker")
            for pool in served or tuple(p for p in pools if p.metadata.namespace == deployment.metadata.namespace):
                pickers[pool.key] = picker_settings(deployment)
        elif any(is_body_router(container_of(c, "")) for c in deployment.spec.template.spec.containers):
            notes.append(f"{name}: replaced by signalbox's own body-based routing, which runs while a route needs it")
        else:
            notes.append(f"{name}: not a vLLM server: not run here")
    return Workloads(tuple(servers), pickers, tuple(notes))


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether labels satisfy a selector of equalities; an empty selector selects nothing, as for a Service."""
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def _server(deployment: Deployment) -> tuple[Workload | None, list[str]]:
    template = deployment.spec.template
    servers = server_containers(deployment)
    if not servers:
        return None, []
    place, container, raw, arguments = servers[0]
    remarks: list[str] = []
    if len(servers) > 1:
        others = ", ".join(c.name for _, c, _, _ in servers[1:])
        remarks.append(f"runs its first vLLM container {container.name!r} only, not {others}")
    probes, probe_remarks = probes_of(raw, container, place)
    remarks += probe_remarks
    port = listen_port(arguments, container)
    metadata = deployment.metadata
    pod_template = PodTemplate(
        namespace=metadata.namespace,
        deployment=metadata.name,
        revision=hashlib.sha256(template.model_dump_json().encode()).hexdigest()[:6],
        labels=dict(template.metadata.labels),
        arguments=arguments,
        port=port,
        environment=host_environment(container),
        probes=probes.with_implicit_startup(port),
        syncers=tuple(_syncer(c, raw) for _, c, raw in syncer_containers(deployment)),
        volumes=config_map_volumes(template.spec.volumes),
        grace=float(template.spec.termination_grace_period_seconds),
    )
    return Workload(deployment.key, deployment.spec.replicas, pod_template), remarks


def server_containers(deployment: Deployment) -> list[tuple[str, Container, spec.Container, tuple[str, ...]]]:
    """The containers that run vLLM: the field each is at, its facts, the resource's own, and the server's arguments."""
    found = []
    for index, raw in enumerate(deployment.spec.template.spec.containers):
        container = container_of(raw, deployment.metadata.namespace)
        arguments = vllm_arguments(container)
        if arguments is not None:
            found.append((f"spec.template.spec.containers[{index}]", container, raw, arguments))
    return found


def syncer_containers(deployment: Deployment) -> list[tuple[str, Container, spec.Container]]:
    """The containers that are LoRA syncers: the field each is at, its facts and the resource's own."""
    pod = deployment.spec.template.spec
    lists = ("initContainers", pod.init_containers), ("containers", pod.containers)
    return [
        (f"spec.template.spec.{name}[{index}]", container, raw)
        for name, raws in lists
        for index, raw in enumerate(raws)
        if SYNCER_VARIABLE in (container := container_of(raw, deployment.metadata.namespace)).variables
    ]


def _syncer(container: Container, raw: spec.Container) -> Syncer:
    arguments = syncer_arguments(container)
    config = last_option(arguments, "--config") or container.variables[SYNCER_VARIABLE]
    return Syncer(container.name, config, mounts_of(raw), host_environment(container), arguments)


def host_environment(container: Container) -> dict[str, str]:
    """The container's variables that may be given to a process of this machine."""
    return {
        name: value
        for name, value in container.variables.items()
        if name not in {"PATH", "HOME", "TMPDIR"} and not name.startswith(_HOST_VARIABLES)
    }


def _pools_picked_by(
    deployment: Deployment, pools: Iterable[InferencePool], services: Iterable[Service]
) -> tuple[InferencePool, ...]:
    """The pools whose picker reference names a Service that selects this Deployment's pods."""
    namespace = deployment.metadata.namespace
    labels = deployment.spec.template.metadata.labels
    names = {
        service.metadata.name
        for service in services
        if service.metadata.namespace == namespace and selects(service.spec.selector, labels)
    }
    return tuple(
        pool
        for pool in pools
        if pool.metadata.namespace == namespace
        and pool.spec.endpoint_picker_ref is not None
        and pool.spec.endpoint_picker_ref.name in names
    )
