"""What the director tells whoever keeps the decisions themselves, not only their counts.

An `Observer` counts; a `Journal` is shown everything a decision was made of. It is asked beforehand whether it wants
that, so that a decision nobody keeps costs one question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

import msgspec

from signalbox.admission import Shed
from signalbox.director.arrival import Arrival, Refused
from signalbox.director.events import Ticket
from signalbox.director.wait import Wait
from signalbox.pool import Columns, Endpoint, Resolution, Rows
from signalbox.scheduling import Cycle, Decision, Step

K = TypeVar("K")


class Refusal(msgspec.Struct, frozen=True):
    """A request that went nowhere."""

    request_id: str
    at: float
    """Seconds of the caller's clock."""
    status: int
    code: str
    """The reference's error code."""
    reason: str
    model: str = ""
    target: str = ""
    objective: str | None = None
    priority: int | None = None
    """``None`` where the request was refused before its model was known."""
    candidates: int = 0
    """Endpoints it could have gone to."""
    steps: tuple[Step, ...] = ()
    detector: str = ""
    """What measured the saturation for which it was shed."""
    saturation: float | None = None
    """How full that found the candidates: 1 at the limit."""
    rows: Rows | None = None
    """The candidates' rows; ``None`` where nobody came into question."""
    endpoints: Mapping[int, Endpoint] = {}
    """The pool's endpoints at the time, by row."""
    wait: Wait | None = None
    """How it waited, or that there was no room to; ``None`` where requests do not wait."""


class Journal(Protocol[K]):
    """Keeps decisions. Methods must not raise and must not block. ``K`` is what it keeps of the pool's state."""

    def wants(self, request_id: str, now: float) -> bool:
        """Say whether to be told of this request. Asked once for each, before anything else."""

    def before(self, columns: Columns) -> K:
        """A decision that is wanted is about to be made: keep what its outcome will change."""

    def routed(self, kept: K, ticket: Ticket, cycle: Cycle, rows: Rows, decision: Decision, seconds: float) -> None:
        """A decision over the candidates ``rows`` was made; it took ``seconds`` of wall time."""

    def refused(self, refusal: Refusal) -> None:
        """A request that is wanted went nowhere."""

    def finished(self, ticket: Ticket) -> None:
        """A request that was told as routed ended; its ticket says how."""


def refusal_told(
    arrival: Arrival,
    refusal: Refused,
    model: str,
    now: float,
    resolution: Resolution | None,
    cycle: Cycle | None,
    rows: Rows | None,
    shed: Shed | None,
    wait: Wait | None,
    endpoints: Mapping[int, Endpoint],
) -> Refusal:
    """Return what a journal keeps of a request that goes nowhere, as far as it got."""
    return Refusal(
        arrival.request_id,
        now,
        refusal.status,
        refusal.code,
        refusal.message,
        model,
        "" if resolution is None else resolution.target,
        arrival.objective,
        None if resolution is None else resolution.priority,
        0 if rows is None else len(rows),
        () if cycle is None else tuple(cycle.steps),
        "" if shed is None else shed.detector,
        None if shed is None else shed.saturation,
        rows,
        endpoints,
        wait,
    )
