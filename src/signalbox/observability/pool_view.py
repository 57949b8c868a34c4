"""What the metrics need to know about a pool, read when Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from signalbox.pool import NEVER, Pool


@dataclass(frozen=True, slots=True)
class ServerLoad:
    """What one ready endpoint last reported. ``kv_usage`` is a fraction, 0 to 1; the others count requests."""

    name: str
    pod: str
    scraped: bool
    """False while the endpoint's metrics have never been read; then the numbers are 0."""
    waiting: float
    running: float
    kv_usage: float


class PoolView(Protocol):
    """A pool as the metrics see it."""

    @property
    def name(self) -> str:
        """The InferencePool's name."""

    def loads(self) -> Sequence[ServerLoad]:
        """One entry for each ready endpoint."""


class ReportedLoad:
    """The view of a live `Pool`: what its endpoints reported, without our corrections between two scrapes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def name(self) -> str:
        """The InferencePool's name."""
        return self._pool.name

    def loads(self) -> Sequence[ServerLoad]:
        """One entry for each ready endpoint, in row order."""
        endpoints = self._pool.endpoints
        columns = self._pool.columns
        return [
            ServerLoad(
                endpoint.name,
                endpoint.pod,
                bool(columns.scraped_at[endpoint.row] != NEVER),
                float(columns.waiting[endpoint.row]),
                float(columns.running[endpoint.row]),
                float(columns.kv_usage[endpoint.row]),
            )
            for endpoint in endpoints
        ]
