"""One address a request can be sent to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PORT_ANNOTATION = "signalbox.dev/port"
"""On a Pod: its server listens on this port instead of the pool's target ports.

In a cluster every pod has an address of its own, so one port number does for all. Servers outside of one may share an
address, and then only the port tells them apart.
"""


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model server as the pool sees it: one pod, one of the pool's target ports, one row of the columns."""

    name: str
    """``POD`` for a pool with one target port, ``POD-rank-N`` with several."""
    namespace: str
    pod: str
    host: str
    port: int
    row: int
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str = field(init=False, compare=False)
    """``ip:port``, as Envoy and the Endpoint Picker Protocol write it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", join_address(self.host, self.port))
