"""Gateways and HTTPRoutes in one line each, and options for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.conftest import parsed

from signalbox.gateway.envoy import Options, PoolBackend, ServiceBackend
from signalbox.resources import FailureMode, Gateway, HTTPRoute, Key

GATEWAY = "gateway.networking.k8s.io/v1"
POOL = {"group": "inference.networking.k8s.io", "kind": "InferencePool"}


def gateway(*listeners: dict[str, Any], name: str = "gw", namespace: str = "default") -> Gateway:
    """A Gateway; each listener is ``{"name": "http", "port": 80, "protocol": "HTTP"}`` and what is given of it."""
    given = listeners or ({},)
    spec = [{"name": f"l{n}" if n else "http", "port": 80, "protocol": "HTTP", **one} for n, one in enumerate(given)]
    document = {
        "apiVersion": GATEWAY,
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"gatewayClassName": "signalbox", "listeners": spec},
    }
    result: Gateway = parsed(document)
    return result


def route(
    *rules: dict[str, Any],
    name: str = "route",
    namespace: str = "default",
    hostnames: tuple[str, ...] = (),
    parents: tuple[dict[str, Any], ...] = ({"name": "gw"},),
    created: str | None = None,
) -> HTTPRoute:
    """An HTTPRoute."""
    metadata = {"name": name, "namespace": namespace}
    if created is not None:
        metadata["creationTimestamp"] = created
    spec: dict[str, Any] = {"parentRefs": list(parents), "rules": list(rules)}
    if hostnames:
        spec["hostnames"] = list(hostnames)
    result: HTTPRoute = parsed({"apiVersion": GATEWAY, "kind": "HTTPRoute", "metadata": metadata, "spec": spec})
    return result


def path(value: str, kind: str = "PathPrefix", **more: Any) -> dict[str, Any]:
    """A match on the path, and more conditions."""
    return {"path": {"type": kind, "value": value}, **more}


def to(name: str, *matches: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A rule that sends what matches to the pool ``name``."""
    return {"matches": list(matches), "backendRefs": [{**POOL, "name": name}], **more}


def pool(
    name: str,
    *endpoints: str,
    picker: str = "127.0.0.1:9002",
    failure_mode: FailureMode = FailureMode.FAIL_CLOSE,
    namespace: str = "default",
) -> PoolBackend:
    """A pool as a backend."""
    return PoolBackend(namespace, name, endpoints, picker, failure_mode)


def service(name: str, port: int, *endpoints: str) -> ServiceBackend:
    """A Service as a backend."""
    return ServiceBackend("default", name, port, endpoints)


def options(directory: Path, *gateways: Gateway, port: int = 8080, **more: Any) -> Options:
    """Options that map every listener of the gateways to one port."""
    ports = {
        (Key("Gateway", one.metadata.namespace, one.metadata.name), listener.name): port
        for one in gateways
        for listener in one.spec.listeners
    }
    return Options(directory, ports, **more)
