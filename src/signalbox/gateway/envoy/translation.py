"""From Kubernetes resources to Envoy's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter

from signalbox.gateway.envoy import bodyrouter, clusters
from signalbox.gateway.envoy.attachment import attach
from signalbox.gateway.envoy.hostnames import covers, specificity
from signalbox.gateway.envoy.listeners import listener, listener_name
from signalbox.gateway.envoy.model import EnvoyConfig, Json, Options, PoolBackend, ServiceBackend
from signalbox.gateway.envoy.rules import Backends, Entry, entries
from signalbox.resources import Gateway, HTTPRoute, Key

Attached = Sequence[tuple[str, HTTPRoute]]


def translate(
    gateways: Sequence[Gateway],
    routes: Sequence[HTTPRoute],
    pools: Sequence[PoolBackend],
    services: Sequence[ServiceBackend],
    options: Options,
) -> EnvoyConfig:
    """Return the Envoy configuration for these resources.

    ``routes`` come in order of age, as ``Manifests`` gives them: among equal matches the older route wins. What cannot
    be honoured is left out, or answered with 500 where the Gateway API says so, and told in ``notes``. Raises
    ValueError for an endpoint or picker address that is not ``ip:port``.
    """
    backends = Backends(
        {(pool.namespace, pool.name): pool for pool in pools},
        {(service.namespace, service.name, service.port): service for service in services},
    )
    ordered = sorted(routes, key=_age)
    attachments = attach(gateways, ordered, options)
    notes = attachments.notes
    compiled = {route.key: tuple(entries(route, backends, options, notes)) for route in ordered}
    by_model = {
        port
        for port, groups in attachments.ports.items()
        if options.body_router and bodyrouter.wanted(route for group in groups.values() for _, route in group)
    }
    return EnvoyConfig(
        listeners=tuple(listener(port, options, port in by_model) for port in attachments.ports),
        clusters=(
            *(clusters.pool_cluster(pool, options) for pool in pools),
            *(clusters.picker_cluster(pool) for pool in pools),
            *(clusters.service_cluster(service, options) for service in services),
            *([bodyrouter.cluster(options)] if by_model else ()),
        ),
        routes=tuple(
            _route_configuration(port, groups, compiled, [bodyrouter.no_route(options)] if port in by_model else [])
            for port, groups in attachments.ports.items()
        ),
        endpoints=(
            *(clusters.load_assignment(pool.cluster, pool.endpoints) for pool in pools),
            *(clusters.load_assignment(service.cluster, service.endpoints) for service in services),
        ),
        notes=tuple(dict.fromkeys(notes)),
    )


def _age(route: HTTPRoute) -> tuple[datetime, str, str]:
    """Oldest first, then by namespace and name. A route with no creation time is younger than those that have one, and
    such routes keep the order they come in.
    """
    created = route.metadata.creation_timestamp
    if created is None:
        return datetime.max.replace(tzinfo=UTC), "", ""
    return created, route.metadata.namespace, route.metadata.name


def _route_configuration(
    port: int, groups: Mapping[str, Attached], compiled: Mapping[Key, Sequence[Entry]], last: list[Json]
) -> Json:
    """The routes of a port; ``last`` are those that come after all others of a host."""
    hosts = []
    for listener_host, attached in groups.items():
        for domain in dict.fromkeys((listener_host, *(host for host, _ in attached))):
            # A request belongs to the listener whose hostname fits it best, and to no other.
            if listener_host == max((other for other in groups if covers(other, domain)), key=specificity):
                hosts.append(
                    {"name": domain, "domains": [domain], "routes": _routes(domain, attached, compiled) + last}
                )
    return {
        "name": listener_name(port),
        "virtual_hosts": hosts,
        "ignore_port_in_host_matching": True,
    }


def _routes(domain: str, attached: Attached, compiled: Mapping[Key, Sequence[Entry]]) -> list[Json]:
    """The routes of one domain, first match first: by how closely the route's hostname fits, then by the match's rank.

    Envoy looks into one virtual host only, so the routes of every hostname that covers the domain are in it.
    """
    closest: dict[Key, str] = {}
    for host, route in attached:
        known = closest.get(route.key)
        if covers(host, domain) and (known is None or specificity(host) > specificity(known)):
            closest[route.key] = host
    ranked = []
    for key, host in closest.items():
        exact, length = specificity(host)
        ranked += [((not exact, -length, *entry.rank), entry.route) for entry in compiled[key]]
    # The sort is stable: equals stay in the order of their routes' age and their place in the route.
    return [route for _, route in sorted(ranked, key=itemgetter(0))]
