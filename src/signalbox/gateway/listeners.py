"""Which port of this machine serves which listener of a Gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from signalbox.resources import Gateway, Key

FIRST_UNPRIVILEGED = 1024
OFFSET = 8000


@dataclass(frozen=True, slots=True)
class PortMap:
    """Ports of this machine for listeners."""

    ports: Mapping[tuple[Key, str], int]
    """By Gateway key and listener name."""
    declared: Mapping[int, int]
    """The manifest's port -> the port here, in the order of the manifests."""


def map_ports(gateways: Iterable[Gateway], first: int) -> PortMap:
    """Serve the first HTTP listener at ``first``, others at their own port, or 8000 above it when it needs privileges.

    Listeners with the same port in the manifests share one here; their hostnames tell them apart.
    """
    ports: dict[tuple[Key, str], int] = {}
    declared: dict[int, int] = {}
    for gateway in gateways:
        for listener in gateway.spec.listeners:
            if listener.protocol != "HTTP":
                continue  # ``envoy.attachment`` says so, with field and fix
            if listener.port not in declared:
                declared[listener.port] = _choose(listener.port, first, set(declared.values()))
            ports[gateway.key, listener.name] = declared[listener.port]
    return PortMap(ports, declared)


def _choose(port: int, first: int, taken: set[int]) -> int:
    if not taken:
        return first
    chosen = port if port >= FIRST_UNPRIVILEGED else port + OFFSET
    while chosen in taken:
        # 65535 is followed by the first port that needs no privileges.
        chosen = chosen + 1 if chosen < 65535 else FIRST_UNPRIVILEGED
    return chosen
