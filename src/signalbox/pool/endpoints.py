"""One address a request can be sent to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from signalbox.resources.annotations import PORT

PORT_ANNOTATION = PORT
"""On a Pod: its server listens on this port instead of the pool's target ports.

In a cluster every pod has an address of its own, so one port number does for all. Servers outside of one may share an
address, and then only the port tells them apart.
"""

ACTIVE_PORTS_ANNOTATION = "inference.networking.k8s.io/active-ports"
"""On a Pod: which of the pool's target ports its servers listen on, separated by commas; all of them without it, none
where it is empty. Entries that are no target port count for nothing."""


def active_ports(text: str | None, target_ports: Sequence[int]) -> list[tuple[int, int]]:
    """Return the target ports that ``text``, the annotation's value, leaves active, each with its rank among all."""
    if text is None:
        return list(enumerate(target_ports))
    entries = (entry.strip() for entry in text.split(","))
    named = {int(entry) for entry in entries if entry.isascii() and entry.isdecimal() and len(entry) < 10}
    return [(rank, port) for rank, port in enumerate(target_ports) if port in named]


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

    def same_server(self, other: Endpoint) -> bool:
        """Say whether ``other`` is this endpoint too, perhaps under other labels: with all that is known of it."""
        return (
            self.row == other.row
            and self.address == other.address
            and self.pod == other.pod
            and self.namespace == other.namespace
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", join_address(self.host, self.port))
