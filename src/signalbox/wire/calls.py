"""A gRPC call, as the server's services see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable


class Receiver(Protocol):
    """Hears what the client does on one call; unary and streaming calls differ only in what it makes of that.

    Nothing is called after `Call.finish`. An exception ends the call with INTERNAL, followed by `cancelled`.
    """

    def message(self, data: bytes) -> None:
        """The next message."""

    def half_closed(self) -> None:
        """The client will send no more messages."""

    def cancelled(self) -> None:
        """The call ended without `finish`: reset by the client, connection lost, deadline passed, or a broken rule.

        Called at most once, never from within `Call.send` or `Call.finish`.
        """


@runtime_checkable
class HearsOversized(Protocol):
    """A `Receiver` that wants to answer a message which is too long to be taken."""

    def oversized(self, size: int) -> None:
        """A message of ``size`` bytes begins, more than `Limits.message_bytes`: none of it will be kept.

        Unless the call is finished here, it ends with RESOURCE_EXHAUSTED, followed by `Receiver.cancelled`.
        """


class Call(Protocol):
    """One call to answer. What is sent while a socket read is handled leaves in one write; the rest is gathered."""

    @property
    def method(self) -> str:
        """``/package.Service/Method``."""

    @property
    def metadata(self) -> Sequence[tuple[bytes, bytes]]:
        """The client's header fields in order, without pseudo-headers; names are lower case."""

    def send(self, message: bytes) -> None:
        """Send one message. Does nothing once the call is over."""

    def finish(self, status: int = 0, message: str = "") -> None:
        """End the call with a gRPC status. Does nothing once the call is over."""


Accept = Callable[[Call], Receiver]
"""Takes a new call, before any of its messages, and returns who hears them."""
Routes = Mapping[str, Accept]
"""What serves each method, by ``/package.Service/Method``."""
