"""Which routes are reached through which listeners, and under which hostnames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from signalbox.gateway.envoy.hostnames import ANY, intersection
from signalbox.gateway.envoy.model import Options
from signalbox.resources import Gateway, HTTPRoute, Listener, ParentRef


@dataclass(frozen=True, slots=True)
class Site:
    """A Gateway listener that is served here, on the local port ``port``."""

    gateway: Gateway
    listener: Listener
    port: int

    @property
    def hostname(self) -> str:
        """The listener's hostname; ``*`` where it has none."""
        return self.listener.hostname or ANY


@dataclass(slots=True)
class Attachments:
    """The outcome: per local port and listener hostname, the (hostname, route) pairs that meet there."""

    ports: dict[int, dict[str, list[tuple[str, HTTPRoute]]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def attach(gateways: Sequence[Gateway], routes: Iterable[HTTPRoute], options: Options) -> Attachments:
    """Attach the routes to the listeners their ``parentRefs`` name. The routes keep their order.

    Listeners with one hostname on one local port are one, as if their Gateways were a single one.
    """
    result = Attachments()
    known = {gateway.key: gateway for gateway in gateways}
    sites = list(_sites(gateways, options, result.notes))
    for site in sites:
        result.ports.setdefault(site.port, {}).setdefault(site.hostname, [])
    for route in routes:
        for index, parent in enumerate(route.spec.parent_refs):
            where = f"{_name(route)} spec.parentRefs[{index}]"
            if (parent.group, parent.kind) != ("gateway.networking.k8s.io", "Gateway"):
                result.notes.append(f"{where}: kind {parent.kind} is not a parent served here; name a Gateway")
                continue
            reason = _attach(route, parent, sites, result)
            if reason:
                exists = any(key.namespace == _namespace(route, parent) and key.name == parent.name for key in known)
                if not exists:
                    reason = f"Gateway {parent.name} does not exist; add it or correct the name"
                result.notes.append(f"{where}: {reason}")
        if not route.spec.parent_refs:
            result.notes.append(f"{_name(route)} spec.parentRefs: the route has no parent; name a Gateway")
    return result


def _sites(gateways: Iterable[Gateway], options: Options, notes: list[str]) -> Iterator[Site]:
    for gateway in gateways:
        for index, listener in enumerate(gateway.spec.listeners):
            where = f"{_name(gateway)} spec.listeners[{index}]"
            port = options.ports.get((gateway.key, listener.name))
            if listener.protocol != "HTTP":
                notes.append(f"{where}.protocol: {listener.protocol} is not served on this machine; use HTTP")
            elif port is None:
                notes.append(
                    f"{where}.port: no port of this machine is given to listener {listener.name}; map it to one"
                )
            else:
                yield Site(gateway, listener, port)


def _attach(route: HTTPRoute, parent: ParentRef, sites: Iterable[Site], result: Attachments) -> str | None:
    """Attach the route to one parent; the reason if it meets no listener of it."""
    reason = "no listener of the Gateway that is served here is meant; correct sectionName or port"
    attached = False
    for site in sites:
        meta = site.gateway.metadata
        if (meta.namespace, meta.name) != (_namespace(route, parent), parent.name):
            continue
        if parent.section_name not in (None, site.listener.name) or parent.port not in (None, site.listener.port):
            continue
        if not _allows(site, route):
            reason = (
                f"listener {site.listener.name} takes no routes from namespace {route.metadata.namespace}; "
                "widen its allowedRoutes.namespaces"
            )
            continue
        hosts = intersection(site.hostname, route.spec.hostnames)
        if not hosts:
            reason = (
                f"none of the route's hostnames fits {site.hostname} of listener {site.listener.name}; "
                "correct spec.hostnames"
            )
            continue
        attached = True
        group = result.ports[site.port][site.hostname]
        group.extend(pair for host in hosts if (pair := (host, route)) not in group)
    return None if attached else reason


def _allows(site: Site, route: HTTPRoute) -> bool:
    """Whether the listener's ``allowedRoutes`` admits the route. A namespace has one label here, its name."""
    allowed = site.listener.allowed_routes
    namespaces = allowed.get("namespaces") if isinstance(allowed, Mapping) else None
    rule = namespaces if isinstance(namespaces, Mapping) else {}
    match rule.get("from", "Same"):
        case "All":
            return True
        case "Selector":
            selector = rule.get("selector") or {}
            wanted = selector.get("matchLabels") or {}
            own = {"kubernetes.io/metadata.name": route.metadata.namespace}
            return not selector.get("matchExpressions") and wanted.items() <= own.items()
        case "None":
            return False
        case _:
            return site.gateway.metadata.namespace == route.metadata.namespace


def _namespace(route: HTTPRoute, parent: ParentRef) -> str:
    return parent.namespace or route.metadata.namespace


def _name(resource: Gateway | HTTPRoute) -> str:
    return f"{resource.kind}/{resource.metadata.name}"
