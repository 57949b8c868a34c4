"""One gRPC call on one HTTP/2 stream."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from signalbox.wire.calls import Accept, HearsOversized, Receiver
from signalbox.wire.header_rules import Field
from signalbox.wire.messages import MessageFault, MessageReader, MessageTooLong
from signalbox.wire.status import RESPONSE_BLOCK, Status, trailer_block, trailers_only_block
from signalbox.wire.stream import Exchange, Stream

if TYPE_CHECKING:
    from signalbox.wire.session import GrpcSession

log = logging.getLogger(__name__)


class TimerHandle(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless if it has run."""


class _Nobody:
    """The receiver of a call that is over."""

    __slots__ = ()

    def message(self, data: bytes) -> None:
        pass

    def half_closed(self) -> None:
        pass

    def cancelled(self) -> None:
        pass


NOBODY: Final[Receiver] = _Nobody()


class GrpcCall(Exchange):
    """`Call` to the service above, `Exchange` to the connection below."""

    __slots__ = ("_metadata", "_method", "_over", "_reader", "_receiver", "_session", "_started", "_stream", "_timer")

    def __init__(self, session: GrpcSession, stream: Stream, method: str, metadata: tuple[Field, ...]) -> None:
        self._session = session
        self._stream = stream
        self._method = method
        self._metadata = metadata
        self._receiver = NOBODY
        self._reader = MessageReader(session.limits.message_bytes, session.holdings)
        self._started = False
        self._over = False
        self._timer: TimerHandle | None = None

    @property
    def method(self) -> str:
        """``/package.Service/Method``."""
        return self._method

    @property
    def metadata(self) -> Sequence[Field]:
        """The client's header fields."""
        return self._metadata

    # ---- what the service calls

    def send(self, message: bytes) -> None:
        """Send one message; what the client's windows do not allow yet waits."""
        if self._over:
            return
        session = self._session
        outbound = session.outbound
        if not self._started:
            self._started = True
            outbound.headers(self._stream, RESPONSE_BLOCK)
        outbound.message(self._stream, message, session.connection.now)
        session.wake()

    def finish(self, status: int = 0, message: str = "") -> None:
        """End the call; see `Call.finish`."""
        if not self._over:
            self._release()
            self._answer(status, message)

    # ---- what the session calls

    def open(self, accept: Accept) -> None:
        """Hand the call to its service."""
        try:
            receiver = accept(self)
        except Exception:
            self._broken("accept")
            return
        if not self._over:
            self._receiver = receiver

    def limit_to(self, seconds: float, call_later: Callable[[float, Callable[[], None]], TimerHandle]) -> None:
        """End the call with DEADLINE_EXCEEDED unless it is over in ``seconds``."""
        if not self._over:
            self._timer = call_later(seconds, self._deadline_passed)

    def answer_block(self, block: bytes) -> None:
        """Give ``block`` as the whole response to a request that reaches no service."""
        self._release()
        self._session.outbound.headers(self._stream, block, end_stream=True)
        self._session.wake()

    # ---- what the connection calls

    def data(self, buffer: bytes, start: int, end: int) -> None:
        """Take a piece of the body."""
        if self._over:
            return
        try:
            self._reader.feed(buffer, start, end, self._receiver)
        except MessageTooLong as long:
            self._too_long(long)
        except MessageFault as fault:
            self._abandon(fault.status, fault.message)
        except Exception:
            self._broken("message")

    def trailers(self, fields: tuple[Field, ...]) -> None:
        """A client's trailers mean nothing in gRPC."""

    def ended(self) -> None:
        """The client half-closed."""
        if self._over:
            return
        if self._reader.unfinished:
            self._abandon(Status.INTERNAL, "the last message is incomplete")
            return
        try:
            self._receiver.half_closed()
        except Exception:
            self._broken("half_closed")

    def aborted(self, code: int) -> None:
        """The stream is gone."""
        if not self._over:
            self._cancel()

    # ---- what time shows

    def cut_trickling(self, now: float, patience: float) -> None:
        """End the call with DEADLINE_EXCEEDED if its unfinished message was noticed ``patience`` seconds ago."""
        reader = self._reader
        if self._over or not reader.unfinished:
            return
        if reader.seen_unfinished is None:
            reader.seen_unfinished = now
        elif now - reader.seen_unfinished >= patience:
            self._abandon(Status.DEADLINE_EXCEEDED, f"a message was not complete after {patience:g} seconds")

    # ---- endings

    def _release(self) -> Receiver:
        """The call is over: part it from its receiver, its timer and the message it was reading."""
        self._over = True
        receiver = self._receiver
        self._receiver = NOBODY
        self._reader.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return receiver

    def _answer(self, status: int, message: str) -> None:
        outbound = self._session.outbound
        if self._started:
            outbound.trailers(self._stream, trailer_block(status, message))
        else:
            outbound.headers(self._stream, trailers_only_block(status, message), end_stream=True)
        self._session.wake()

    def _cancel(self) -> None:
        receiver = self._release()
        try:
            receiver.cancelled()
        except Exception:
            log.exception("%s: cancelled() failed", self._method)

    def _abandon(self, status: Status, message: str) -> None:
        """End the call with a status of our own; its service has not finished it."""
        receiver = self._release()
        self._answer(status, message)
        try:
            receiver.cancelled()
        except Exception:
            log.exception("%s: cancelled() failed", self._method)

    def _too_long(self, fault: MessageTooLong) -> None:
        if isinstance(self._receiver, HearsOversized):
            try:
                self._receiver.oversized(fault.size)
            except Exception:
                self._broken("oversized")
        if not self._over:
            self._abandon(fault.status, fault.message)

    def _broken(self, where: str) -> None:
        log.exception("%s: %s() failed", self._method, where)
        if not self._over:
            self._abandon(Status.INTERNAL, "internal error")

    def _deadline_passed(self) -> None:
        self._timer = None
        if not self._over:
            self._abandon(Status.DEADLINE_EXCEEDED, "deadline exceeded")
