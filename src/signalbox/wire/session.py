"""The gRPC side of one connection: which call each new stream is."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.wire.calls import Routes
from signalbox.wire.connection import HTTP2Connection
from signalbox.wire.deadlines import parse_timeout
from signalbox.wire.grpc_call import GrpcCall, TimerHandle
from signalbox.wire.header_rules import RequestHead
from signalbox.wire.limits import Limits
from signalbox.wire.messages import Holdings
from signalbox.wire.status import Status, http_error_block, is_grpc, trailers_only_block
from signalbox.wire.stream import Exchange, Stream

CallLater = Callable[[float, Callable[[], None]], TimerHandle]


class GrpcSession:
    """Turns the requests of one connection into calls.

    ``call_later(seconds, callback)`` serves deadlines. ``wake`` is called after everything that is sent; whoever owns
    the socket then writes what `take` returns, at once or a little later.
    """

    __slots__ = ("_call_later", "_most_waiting", "_routes", "connection", "holdings", "limits", "outbound", "wake")

    def __init__(
        self, routes: Routes, limits: Limits, call_later: CallLater, wake: Callable[[], None], now: float = 0.0
    ) -> None:
        self._routes = {path.encode("latin-1"): (path, accept) for path, accept in routes.items()}
        self._most_waiting = limits.buffered_bytes
        self._call_later = call_later
        self.limits = limits
        self.wake = wake
        self.holdings = Holdings(limits.buffered_bytes)
        self.connection = HTTP2Connection(self._accept, limits, now)
        self.outbound = self.connection.outbound

    def take(self) -> bytes:
        """Return the bytes to write now.

        Where answers wait beyond the limit, the calls that hold the most are cut first: here, and not while one of
        their services is in the middle of a send.
        """
        if self.outbound.queued_bytes > self._most_waiting:
            self.connection.relieve()
        return self.outbound.take()

    @property
    def buffered_bytes(self) -> int:
        """Bytes this connection makes us keep, without those that wait for the socket."""
        return self.connection.buffered_bytes + self.holdings.held

    def cut_trickling(self, now: float) -> None:
        """End the calls whose unfinished message makes us wait for longer than `Limits.message_seconds`."""
        for stream in [*self.connection.streams.values()]:
            call = stream.exchange
            if isinstance(call, GrpcCall):
                call.cut_trickling(now, self.limits.message_seconds)

    def _accept(self, stream: Stream, head: RequestHead) -> Exchange:
        route = self._routes.get(head.path)
        method = head.path.decode("latin-1") if route is None else route[0]
        call = GrpcCall(self, stream, method, head.fields)
        if head.method != b"POST":
            call.answer_block(http_error_block(405))
            return call
        if not is_grpc(head.first.get(b"content-type", b"")):
            call.answer_block(http_error_block(415))
            return call
        if route is None:
            call.answer_block(trailers_only_block(Status.UNIMPLEMENTED, f"unknown method {method}"))
            return call
        timeout = head.first.get(b"grpc-timeout")
        if timeout is not None and not self._limit(call, timeout):
            return call
        call.open(route[1])
        return call

    def _limit(self, call: GrpcCall, timeout: bytes) -> bool:
        try:
            seconds = parse_timeout(timeout)
        except ValueError as error:
            call.finish(Status.INTERNAL, str(error))
            return False
        if not seconds:
            call.finish(Status.DEADLINE_EXCEEDED, "deadline exceeded")
            return False
        call.limit_to(seconds, self._call_later)
        return True
