"""The answer to one routed request, as it passes by: what the director is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from signalbox.director import Director, Ticket
from signalbox.extproc.bodies import BodyBudget
from signalbox.extproc.suspended import WaitingRoom
from signalbox.payloads import ResponseReader


class Answer:
    """Watches one answer and settles the account at its end, once."""

    __slots__ = ("_begun", "_budget", "_clock", "_director", "_held", "_reader", "_room", "_size", "_ticket", "status")

    def __init__(
        self, director: Director, ticket: Ticket, clock: Callable[[], float], budget: BodyBudget, room: WaitingRoom
    ) -> None:
        """``budget`` is charged for the bytes that are kept of the answer; without room its usage stays unread.
        ``room`` is where others wait for this one's end."""
        self._director = director
        self._room = room
        self._budget = budget
        self._held = 0
        self._ticket: Ticket | None = ticket
        self._clock = clock
        self.status: int | None = None
        """The HTTP status; ``None`` before the headers, or where the gateway does not show them."""
        self._reader: ResponseReader | None = None
        self._size = 0
        self._begun = False

    def head(self, status: bytes, content_type: bytes) -> None:
        """The headers passed."""
        self.status = int(status) if len(status) == 3 and status.isdigit() else None
        self._reader = ResponseReader(content_type.decode("latin-1"))

    def served(self, address: str) -> Mapping[str, str] | None:
        """The gateway says which endpoint took the request; return the answer's headers if that changes them."""
        return None if self._ticket is None else self._director.served(self._ticket, address)

    def piece(self, body: bytes) -> None:
        """A piece of the body passed."""
        if not body:
            return
        self._size += len(body)
        if self._ticket is None:
            return
        if not self._begun:
            self._begun = True
            self._director.first_byte(self._ticket, self._clock(), self.status)
            self._room.freed()
        if self._reader is not None:
            self._reader.feed(body)
            if (held := self._reader.held) != self._held:
                self._charge(held)

    def end(self, *, complete: bool) -> None:
        """The answer ended, or whoever waited for it is gone."""
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return
        status = self.status
        reader = self._reader
        usage = None if reader is None else reader.finish()
        self._charge(0)
        outcome = "complete" if complete else "cancelled"
        # A stream that fails half-way has said 200 already: its error is an event. Other errors have their status.
        failed = reader is not None and reader.error and status is not None and status < 300
        if complete and (failed or (status is not None and status >= 500)):
            outcome = "server_error"
        self._director.finish(
            ticket,
            self._clock(),
            outcome=outcome,
            status=status,
            response_bytes=self._size,
            usage=usage,
        )
        self._room.freed()

    def _charge(self, held: int) -> None:
        self._budget.held += held - self._held
        self._held = held
        if held and self._budget.exceeded:
            assert self._reader is not None
            self._reader.forget()
            self._charge(0)
