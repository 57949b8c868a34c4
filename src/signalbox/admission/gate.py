"""Refuse sheddable work while no endpoint has room for it.

A request with a priority below zero is refused when no candidate is within the capacity thresholds (the guide
release's rule for Sheddable). Requests of priority zero and above are always admitted: they wait in a server's queue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from signalbox.pool import Rows
from signalbox.scheduling import Cycle
from signalbox.scheduling.filters import HasCapacity


@dataclass(frozen=True, slots=True)
class Shed:
    """A refusal: why, and after how many seconds to try again."""

    reason: str
    retry_after: int
    detector: str = ""
    """Name of what found the candidates full."""
    saturation: float | None = None
    """How full it found them, 1 at the limit, where it measures that."""


@dataclass(frozen=True, slots=True)
class SheddableGate:
    """Admits or sheds one request at a time, by the capacity filter the scheduling tree uses."""

    capacity: HasCapacity
    retry_after: int = 1
    """Seconds a refused client is asked to wait. Queues of servers turn over in about a second."""

    def admit(self, cycle: Cycle, rows: Rows) -> Shed | None:
        """Return ``None`` to admit, or the refusal."""
        if cycle.priority >= 0 or len(self.capacity.keep(cycle, rows)):
            return None
        return Shed(
            f"all {len(rows)} endpoints have more than {self.capacity.queue:g} requests waiting or more than"
            f" {self.capacity.kv_cache:.0%} of their KV cache in use, and this request is sheddable",
            self.retry_after,
            self.capacity.name,
        )


@dataclass(frozen=True, slots=True)
class SaturationGate:
    """Sheds what has a priority below zero while the pool is saturated, as a configured detector measures it.

    Source: admission without flow control in the Gateway API Inference Extension v1 and llm-d: priority below zero and
    saturation of 1 or more.
    """

    detector: str
    saturation: Callable[[Cycle, Rows], float]
    """How full the candidates are: 0 idle, 1 at the limit."""
    retry_after: int = 1

    def admit(self, cycle: Cycle, rows: Rows) -> Shed | None:
        """Return ``None`` to admit, or the refusal."""
        if cycle.priority >= 0:
            return None
        saturation = self.saturation(cycle, rows)
        if saturation < 1:
            return None
        return Shed(
            f"the pool is at {saturation:.0%} of its capacity ({self.detector}), and this request is sheddable",
            self.retry_after,
            self.detector,
            saturation,
        )


class Gate(Protocol):
    """Decides who is refused."""

    def admit(self, cycle: Cycle, rows: Rows) -> Shed | None:
        """Return ``None`` to admit, or the refusal."""


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Admits everybody: requests have waited for their turn before."""

    def admit(self, cycle: Cycle, rows: Rows) -> Shed | None:
        """Return ``None``."""
        return None


@dataclass(frozen=True, slots=True)
class AdmitterGate:
    """Asks the admitters of a configuration about what another gate lets in, if it has a priority below zero."""

    before: Gate
    ask: Callable[[Cycle, Rows], tuple[str, str] | None]
    """The name of the admitter that refuses, and why."""
    retry_after: int = 1

    def admit(self, cycle: Cycle, rows: Rows) -> Shed | None:
        """Return ``None`` to admit, or the refusal."""
        shed = self.before.admit(cycle, rows)
        if shed is not None or cycle.priority >= 0:
            return shed
        refusal = self.ask(cycle, rows)
        if refusal is None:
            return None
        admitter, why = refusal
        return Shed(f"{why} ({admitter}), and this request is sheddable", self.retry_after, admitter)
