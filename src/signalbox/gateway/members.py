"""What the rest of the gateway sees of a model server, whether we run it or somebody else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """Where a pod is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    NOT_READY = "not ready"
    RESTARTING = "restarting"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Member:
    """A pod at one moment."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    host: str
    port: int
    phase: Phase
    restarts: int = 0
    note: str = ""
    """Why it waits or does not serve, when that is known."""
    models: tuple[str, ...] = field(default=())
    """Names it is expected to serve without adapters."""

    @property
    def ready(self) -> bool:
        """Whether it may get new requests."""
        return self.phase is Phase.READY

    @property
    def identity(self) -> tuple[str, str, str, int]:
        """What makes it the same endpoint: namespace, name, host, port."""
        return (self.namespace, self.name, self.host, self.port)

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def counted(number: int, thing: str) -> str:
    """``1 restart``, ``2 restarts``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
