"""A request that waits."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.admission.flow import Turn
from signalbox.director.arrival import Arrival
from signalbox.director.wait import Wait
from signalbox.payloads import Request


class Waiting(msgspec.Struct, eq=False):
    """One request that waits. Two are never equal."""

    arrival: Arrival
    request: Request | None
    """``None`` where it has no body."""
    wait: Wait
    wanted: bool
    """Whether the journal wants it."""
    turn: Turn | None = None
    owner: Any = None
    """The caller's own."""
