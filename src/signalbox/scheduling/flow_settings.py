"""What the section ``flowControl`` of a configuration says, with its plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signalbox.scheduling.faults import Faults
from signalbox.scheduling.queueing import FairnessPlugin, OrderingPlugin, UsageLimitPlugin


@dataclass(frozen=True, slots=True)
class BandSettings:
    """Limits and policies of a band; a limit of ``None`` is none."""

    max_bytes: int | None
    max_requests: int | None
    fairness: FairnessPlugin[Any]
    ordering: OrderingPlugin[Any]


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """How requests wait."""

    default: BandSettings
    """For priorities of 0 and above without a band of their own."""
    negative: BandSettings
    """For priorities below 0 without one."""
    usage_limit: UsageLimitPlugin[Any]
    bands: Mapping[int, BandSettings] = field(default_factory=dict)
    """By priority."""
    max_bytes: int | None = None
    """Of all bands together."""
    max_requests: int | None = None
    ttl: float | None = None
    """Seconds a request waits at most; ``None`` for as long as it takes."""
    no_endpoint_ttl: float | None = None
    """The same while the pool has no endpoint."""
    evicts: bool = False
    """Whether sheddable requests are taken back from servers where who matters more waits."""
    faults: Faults = field(default_factory=Faults)

    def band(self, priority: int) -> BandSettings:
        """Return the settings of the band of a priority."""
        found = self.bands.get(priority)
        if found is not None:
            return found
        return self.negative if priority < 0 else self.default
