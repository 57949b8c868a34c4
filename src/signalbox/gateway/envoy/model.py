"""What the translation takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalbox.resources import FailureMode, Key

Json = dict[str, Any]
"""One message of Envoy's API in its JSON form."""

TYPE = "type.googleapis.com/"

DESTINATION = "x-gateway-destination-endpoint"
"""The header, and the key in the ``envoy.lb`` metadata, in which a picker names the endpoints to try, in order."""

SERVED = "x-gateway-destination-endpoint-served"
"""The key in the ``envoy.lb`` metadata in which Envoy tells the picker which endpoint it tried last."""

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PoolBackend:
    """An InferencePool as a backend."""

    namespace: str
    name: str
    endpoints: tuple[str, ...]
    """``ip:port`` of each ready pod; IPv6 addresses in brackets."""
    picker: str
    """``ip:port`` of its endpoint picker's ext_proc service."""
    failure_mode: FailureMode

    @property
    def cluster(self) -> str:
        """The Envoy cluster of its pods."""
        return f"pool/{self.namespace}/{self.name}"

    @property
    def picker_cluster(self) -> str:
        """The Envoy cluster of its picker."""
        return f"picker/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class ServiceBackend:
    """One port of a Service as a backend."""

    namespace: str
    name: str
    port: int
    endpoints: tuple[str, ...]
    """``ip:port`` of each ready pod behind that port; IPv6 addresses in brackets."""

    @property
    def cluster(self) -> str:
        """The Envoy cluster of its pods."""
        return f"service/{self.namespace}/{self.name}/{self.port}"


@dataclass(frozen=True, slots=True)
class Options:
    """How one Envoy is set up on this machine."""

    directory: Path
    """Where Envoy finds its files; the same as that of ``EnvoyFiles`` and ``Envoy``."""
    ports: Mapping[tuple[Key, str], int]
    """The port on this machine for each (Gateway key, listener name). Several may share one, told apart by hostname."""
    listen_host: str = "127.0.0.1"
    """The IP address to listen on; ``0.0.0.0`` for every IPv4 address of the machine."""
    body_router: str = ""
    """``ip:port`` of body-based routing's ext_proc service; empty where there is none."""
    body_limit: int = 32 * MIB
    """The longest request body a pool takes, in bytes; 413 beyond. Envoy holds it, for the picker."""
    message_timeout: float = 600.0
    """Seconds a picker may keep a request waiting before it counts as gone. Pickers queue, so this is long."""


@dataclass(frozen=True, slots=True)
class EnvoyConfig:
    """Envoy resources in their JSON form, and what could not be honoured."""

    listeners: tuple[Json, ...] = ()
    clusters: tuple[Json, ...] = ()
    routes: tuple[Json, ...] = ()
    endpoints: tuple[Json, ...] = ()
    notes: tuple[str, ...] = ()
    """One line each: ``KIND/NAME FIELD: MESSAGE; FIX``."""


def typed(type_name: str, **fields: Any) -> Json:
    """A message inside a ``google.protobuf.Any``: its type name (no ``type.googleapis.com/``) and fields."""
    return {"@type": TYPE + type_name, **fields}


def extension(name: str, type_name: str, **fields: Any) -> Json:
    """A named extension with its configuration, as ``TypedExtensionConfig`` and the filter lists take it."""
    return {"name": name, "typed_config": typed(type_name, **fields)}


def seconds(value: float) -> str:
    """A duration for Envoy. It takes up to nine decimals and no exponent."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"
