"""What is told about the wait of a request."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from signalbox.admission.flow import Flow

DISPATCHED = "Dispatched"
REJECTED = "RejectedCapacity"
NO_ENDPOINTS = "RejectedNoEndpoints"
EXPIRED = "EvictedTTL"
STARVED = "EvictedNoEndpoints"
"""Its time ran out while the pool had no endpoint."""
CANCELLED = "EvictedContextCancelled"
CLOSED = "EvictedOther"


class Wait(msgspec.Struct):
    """How long a request waited, where, and what came of it."""

    flow: Flow
    """Who sent it, and its band."""
    began: float
    """Seconds of the caller's clock."""
    size: int = 0
    """Bytes of its body."""
    saturation: float = 0.0
    """How full the pool was when it came: 1 at the limit."""
    ahead: int = 0
    """How many waited when it came."""
    ceiling: float = 1.0
    """Below which saturation it might have gone on when it came."""
    seconds: float = 0.0
    """How long it waited; 0 where it did not have to."""
    queued: bool = False
    """Whether it had to wait."""
    outcome: str = ""
    """As the label ``outcome`` of the metrics has it; empty as long as it waits."""


@runtime_checkable
class QueueObserver(Protocol):
    """An `Observer` that also counts how requests wait. Methods must not raise and must not block."""

    def queued(self, wait: Wait) -> None:
        """A request waits from now on."""

    def dispatched(self, wait: Wait) -> None:
        """A request goes on to be scheduled, at once or after its wait."""

    def dropped(self, wait: Wait) -> None:
        """A request goes nowhere: its time ran out, its client left, or (not ``queued``) there was no room to wait."""
