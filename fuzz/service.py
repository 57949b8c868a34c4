"""A gRPC service that does as each message tells it, and checks what it hears against the contract of `Receiver`."""

from __future__ import annotations

from signalbox.wire import Call

ECHO, FINISH, FAIL, LARGE, BREAK, PARK, NOTHING, TALK_ON = range(8)


class ContractBroken(AssertionError):
    """A receiver heard something it must not hear."""


class Bug(Exception):
    """What a faulty service raises."""


class Puppet:
    """The receiver of one call."""

    def __init__(self, call: Call, parked: list[Puppet]) -> None:
        self.call = call
        self.finished = False
        self.ends = 0
        self.half = False
        self.heard: list[bytes] = []
        self._parked = parked

    def message(self, data: bytes) -> None:
        """Do what the first byte of the message says."""
        if self.ends or self.finished or self.half:
            raise ContractBroken(f"message after the end: {vars(self)}")
        self.heard.append(data)
        action = data[0] % 8 if data else NOTHING
        if action == ECHO:
            self.call.send(data)
        elif action == LARGE:
            self.call.send(bytes(30_000))
        elif action == BREAK:
            raise Bug
        elif action == PARK:
            self._parked.append(self)
        elif action in (FINISH, FAIL, TALK_ON):
            self._finish(0 if action == FINISH else 13)
            if action == TALK_ON:
                self.call.send(data)
                self.call.finish()

    def half_closed(self) -> None:
        """The client has said everything; answer unless the call is parked."""
        if self.ends or self.finished or self.half:
            raise ContractBroken(f"half_closed after the end: {vars(self)}")
        self.half = True
        if self not in self._parked:
            self._finish(0)

    def cancelled(self) -> None:
        """The call is over without our doing."""
        self.ends += 1
        if self.finished or self.ends > 1:
            raise ContractBroken(f"cancelled after the end: {vars(self)}")

    def resume(self) -> None:
        """Answer a call that was parked, whatever has become of it."""
        self.call.send(b"late")
        if not self.ends and not self.finished:
            self._finish(0)

    def _finish(self, status: int) -> None:
        self.finished = True
        self.call.finish(status, "told to")
