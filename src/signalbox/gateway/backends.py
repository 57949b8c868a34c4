"""What the routes lead to: pools and Services with the pods that are ready behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from signalbox.gateway.envoy import PoolBackend, ServiceBackend
from signalbox.gateway.members import Member
from signalbox.gateway.pods import selects
from signalbox.resources import FailureMode, InferencePool, Key, Service


def pool_backends(
    pools: Iterable[InferencePool], members: Iterable[Member], pickers: Mapping[Key, str]
) -> tuple[PoolBackend, ...]:
    """One backend for each pool that has a picker; ``pickers`` maps a pool's key to ``host:port``."""
    everyone = tuple(members)
    return tuple(
        PoolBackend(
            pool.metadata.namespace,
            pool.metadata.name,
            _addresses(everyone, pool.metadata.namespace, pool.spec.selector.match_labels),
            pickers[pool.key],
            pool.spec.endpoint_picker_ref.failure_mode if pool.spec.endpoint_picker_ref else FailureMode.FAIL_CLOSE,
        )
        for pool in pools
        if pool.key in pickers
    )


def service_backends(services: Iterable[Service], members: Iterable[Member]) -> tuple[ServiceBackend, ...]:
    """One backend for each port of each Service.

    A pod here listens on one port, so every port of a Service leads to that one.
    """
    everyone = tuple(members)
    return tuple(
        ServiceBackend(
            service.metadata.namespace,
            service.metadata.name,
            port.port,
            _addresses(everyone, service.metadata.namespace, service.spec.selector),
        )
        for service in services
        for port in service.spec.ports
    )


def pool_members(pool: InferencePool, members: Iterable[Member]) -> tuple[Member, ...]:
    """The members a pool selects by labels, in its own namespace."""
    return tuple(
        member
        for member in members
        if member.namespace == pool.metadata.namespace and selects(pool.spec.selector.match_labels, member.labels)
    )


def _addresses(members: Iterable[Member], namespace: str, selector: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        member.address
        for member in members
        if member.ready and member.namespace == namespace and selects(selector, member.labels)
    )
