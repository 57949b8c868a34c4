"""What the manifests ask for, sorted by what it is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from signalbox.gateway.pods import Workloads, read_workloads, selects
from signalbox.observability.refusals import Refusals
from signalbox.resources import (
    ConfigMap,
    Deployment,
    Gateway,
    HTTPRoute,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    InferencePool,
    Key,
    Pod,
    Problem,
    Resource,
    Service,
)

T = TypeVar("T", bound=Resource)
Policy = InferenceModel | InferenceObjective | InferenceModelRewrite
_READ_BY_PICKERS = frozenset({"", "InferencePool", "InferenceModel", "InferenceObjective", "InferenceModelRewrite"})
"""Kinds whose problems pickers tell; those of a file as a whole have none."""


@dataclass(frozen=True, slots=True)
class Desired:
    """The state to bring about. Every tuple is in order of age."""

    pools: tuple[InferencePool, ...] = ()
    policies: tuple[Policy, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    routes: tuple[HTTPRoute, ...] = ()
    services: tuple[Service, ...] = ()
    config_maps: Mapping[tuple[str, str], ConfigMap] = field(default_factory=dict)
    """By namespace and name."""
    workloads: Workloads = field(default_factory=lambda: Workloads((), {}, ()))
    configurations: Mapping[Key, str] = field(default_factory=dict)
    """By pool: the EndpointPickerConfig its picker decides by, where it has one that is good."""
    refused_configurations: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict)
    """By pool: what is wrong with the configuration its picker should have."""
    refused: tuple[Problem, ...] = ()
    """What is wrong with the manifests, and is therefore not part of this."""
    notes: tuple[str, ...] = ()

    def config_maps_of(self, namespace: str) -> dict[str, ConfigMap]:
        """The ConfigMaps of a namespace, by name."""
        return {name: each for (space, name), each in self.config_maps.items() if space == namespace}

    def models_of(self, pool: InferencePool) -> tuple[InferenceModel, ...]:
        """The InferenceModels that refer to a pool."""
        return tuple(policy for policy in self.policies_of(pool) if isinstance(policy, InferenceModel))

    def policies_of(self, pool: InferencePool) -> tuple[Policy, ...]:
        """The models, objectives and rewrites that refer to a pool."""
        return tuple(
            policy
            for policy in self.policies
            if policy.metadata.namespace == pool.metadata.namespace and policy.spec.pool_ref.name == pool.metadata.name
        )

    def refusals_of(self, pool: InferencePool) -> Refusals:
        """What its picker has to know of, though it cannot be handed it: that may concern this pool or another."""
        objects = [str(problem) for problem in self.refused if problem.kind in _READ_BY_PICKERS]
        configuration = self.refused_configurations.get(pool.key, ())
        return Refusals(tuple(objects), tuple(map(str, configuration)))

    @property
    def empty(self) -> bool:
        """Whether there is nothing to run and nowhere to send a request."""
        return not (self.pools or self.routes or self.workloads.servers)


def sort_out(resources: Iterable[Resource], servers_given: bool = False) -> Desired:
    """Sort resources by kind. With ``servers_given``, real servers take the place of simulated ones."""
    everything = tuple(resources)
    pools = _of(InferencePool, everything)
    services = _of(Service, everything)
    workloads = read_workloads(_of(Deployment, everything), pools, services)
    notes = [
        f"Pod {pod.metadata.namespace}/{pod.metadata.name}: not run here; write a Deployment"
        for pod in _of(Pod, everything)
    ]
    notes += workloads.notes
    if servers_given:
        notes += [
            f"{workload.key}: not run, the servers given with --server take its place" for workload in workloads.servers
        ]
        workloads = Workloads((), workloads.pickers, ())
    return Desired(
        pools=pools,
        policies=tuple(
            each for each in everything if isinstance(each, InferenceModel | InferenceObjective | InferenceModelRewrite)
        ),
        gateways=_of(Gateway, everything),
        routes=_of(HTTPRoute, everything),
        services=services,
        config_maps={(each.metadata.namespace, each.metadata.name): each for each in _of(ConfigMap, everything)},
        workloads=workloads,
        notes=tuple(notes),
    )


def routing_gaps(desired: Desired) -> tuple[str, ...]:
    """Why no request, or none for some pool, would arrive anywhere: one line each."""
    gaps: list[str] = []
    if desired.empty:
        return ()
    if not desired.gateways:
        gaps.append("no Gateway: nothing listens; add one with an HTTP listener")
    if not desired.routes:
        gaps.append("no HTTPRoute: every request gets 404; add one with a backendRef to an InferencePool")
    routed = {
        (reference.namespace or route.metadata.namespace, reference.name)
        for route in desired.routes
        for rule in route.spec.rules
        for reference in rule.backend_refs
        if reference.kind == "InferencePool"
    }
    for pool in desired.pools:
        if desired.routes and (pool.metadata.namespace, pool.metadata.name) not in routed:
            gaps.append(f"{pool.key}: no HTTPRoute leads to it")
        gaps += _port_gaps(pool, desired)
    return tuple(gaps)


def _port_gaps(pool: InferencePool, desired: Desired) -> list[str]:
    """Servers that a cluster could not reach: there requests go to the pool's ports, wherever a server listens."""
    ports = [port.number for port in pool.spec.target_ports]
    return [
        f"{pool.key}: its target port is {', '.join(map(str, ports))} but {workload.key} listens on"
        f" {workload.template.port}; it is served here, but in a cluster nothing would answer"
        for workload in desired.workloads.servers
        if workload.key.namespace == pool.metadata.namespace
        and selects(pool.spec.selector.match_labels, workload.template.labels)
        and workload.template.port not in ports
    ]


def _of(kind: type[T], resources: Iterable[Resource]) -> tuple[T, ...]:
    return tuple(each for each in resources if isinstance(each, kind))
