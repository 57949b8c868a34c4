"""Requests that wait: for their turn, or for whatever else has to come before an endpoint can be chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from signalbox.director import Asking, Refused, Routed, Waiting
from signalbox.extproc.bodies import BodyBudget, HeldBody

Pending = Waiting | Asking
Deliver = Callable[[Routed | Refused], None]

MOST_LATE = 16
"""Messages that a gateway may send behind a request that waits. Trailers are the only one it has a reason for."""


class WaitingRoom(Protocol):
    """Where exchanges leave the requests that wait."""

    def enter(self, pending: Pending, deliver: Deliver) -> None:
        """``pending`` waits from now on. ``deliver`` is called once, with its outcome, and never within this call,
        unless `leave` comes first."""

    def leave(self, pending: Pending) -> None:
        """The exchange ended: nothing is to be delivered any more."""

    def freed(self) -> None:
        """Something that somebody may have waited for has happened: an answer began, or a request ended."""


class NoRoom:
    """For pickers in which nobody waits."""

    def enter(self, pending: Pending, deliver: Deliver) -> None:
        """Raise `RuntimeError`: the director lets requests wait, and whoever built the exchange named no room."""
        raise RuntimeError("the director lets requests wait and Terms.room is not set: give it a room")

    def leave(self, pending: Pending) -> None:
        """Nobody is here."""

    def freed(self) -> None:
        """Nobody is here."""


class Suspended:
    """What an exchange keeps while its request waits: the body, on the budget's account, and what the gateway said
    meanwhile."""

    __slots__ = ("_body", "_pending", "_room", "end_of_stream", "late")

    def __init__(self, room: WaitingRoom, pending: Pending, end_of_stream: bool) -> None:
        """``end_of_stream``: the request has no trailers."""
        self._room = room
        self._pending = pending
        self._body: HeldBody | None = None
        self.end_of_stream = end_of_stream
        self.late: list[bytes] = []
        """Answers to what the gateway sent since, for when the request's own is out."""

    def enter(self, deliver: Deliver, body: bytes | None, budget: BodyBudget, give_up: Callable[[], None]) -> None:
        """Go and wait. ``body`` is ``None`` for a request without one; ``give_up`` is called, perhaps at once, when all
        bodies together are too long and this one is the longest."""
        self._room.enter(self._pending, deliver)
        if body is not None:
            self._body = HeldBody(budget, give_up)
            self._body.add(body)

    def later(self, answer: bytes) -> bool:
        """Keep the answer to a message that came out of turn; False where there are too many."""
        if len(self.late) >= MOST_LATE:
            return False
        self.late.append(answer)
        return True

    def resume(self) -> bytes | None:
        """The outcome is there: return the body and keep it no longer."""
        body, self._body = self._body, None
        return None if body is None else body.take()

    def leave(self) -> None:
        """The exchange ended."""
        if self._body is not None:
            self._body.drop()
        self._room.leave(self._pending)
