"""Envoy's ext_proc conversation, in terms of the director: one exchange for each HTTP request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from signalbox.director import Director
from signalbox.extproc.bodies import BodyBudget
from signalbox.extproc.exchange import Exchange
from signalbox.extproc.suspended import Deliver, Pending, WaitingRoom
from signalbox.extproc.terms import Terms
from signalbox.wire import Accept, Call

__all__ = ["PROCESS", "BodyBudget", "Deliver", "Exchange", "Pending", "Terms", "WaitingRoom", "picker_routes"]

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


def picker_routes(director: Director, clock: Callable[[], float], terms: Terms | None = None) -> Mapping[str, Accept]:
    """Return the gRPC methods of an endpoint picker: one, ``Process``."""
    shared = terms or Terms()

    def accept(call: Call) -> Exchange:
        return Exchange(call, director, clock, shared)

    return {PROCESS: accept}
