"""One address a request can be sent to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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

    @property
    def address(self) -> str:
        """``ip:port``, as Envoy and the Endpoint Picker Protocol write it."""
        return join_address(self.host, self.port)
