"""One socket: its reads go to a session, what the session sends goes out in as few writes as can be."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from signalbox.wire.calls import Routes
from signalbox.wire.errors import ConnectionFault, ErrorCode
from signalbox.wire.keepalive import Keepalive
from signalbox.wire.limits import KIB, MIB, Limits
from signalbox.wire.session import GrpcSession
from signalbox.wire.turns import SLICE, Backlog, Turns
from signalbox.wire.turns_standing import Standing
from signalbox.wire.write_buffer import WriteBuffer

_READ_STOP: Final = 1 * MIB
"""Answers waiting for a socket that takes none: from here on its requests wait too."""
_FULL_READ: Final = 64 * KIB
"""uvloop goes on reading a socket whose reads are full (256 KiB), up to 32 times before anybody else has a turn: after
more than this the socket sits out until the loop has gone round."""
_SLICES: Final = 4
"""Slices in a turn, where bytes cost so much that the clock and not their number bounds a slice."""
_ONE_IN: Final = 16
"""Of the reads of a connection with plenty to pay with, one in at most so many is weighed."""
_LINGER_SECONDS: Final = 5.0
"""How long a closed connection may take to read our last words."""


class GrpcProtocol(asyncio.Protocol):
    """The asyncio side of one connection.

    ``opened`` and ``closed`` are told of it; `opened` returns False when the server has no room for it. ``grew`` hears
    by how many bytes what this connection makes us keep has changed. ``turns`` is where long reads stand in line.
    """

    __slots__ = (
        "_backlog",
        "_closed",
        "_closing",
        "_closing_since",
        "_flush_due",
        "_grew",
        "_keepalive",
        "_limits",
        "_loop",
        "_opened",
        "_reading",
        "_sits_out",
        "_slice",
        "_standing",
        "_transport",
        "_turns",
        "_until_weighed",
        "_unweighed",
        "_unwritten",
        "buffered_bytes",
        "in_debt",
        "session",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        routes: Routes,
        limits: Limits,
        opened: Callable[[GrpcProtocol], bool],
        closed: Callable[[GrpcProtocol], None],
        grew: Callable[[int], None],
        turns: Turns,
    ) -> None:
        self._loop = loop
        self._turns = turns
        self._backlog = Backlog(limits.turn_seconds / _SLICES)
        self._slice = 0
        self._unweighed = self._until_weighed = 0
        self.in_debt = False
        """It has had more of our time than it earned; see `Standing`."""
        self._reading = True
        self._sits_out = False
        self._limits = limits
        self._opened = opened
        self._closed = closed
        self._grew = grew
        self.buffered_bytes = 0
        """Bytes this connection makes us keep, as of the last read or write."""
        now = loop.time()
        self._keepalive = Keepalive(limits, now)
        self._closing = False
        self._closing_since = 0.0
        self._unwritten = WriteBuffer()
        self._flush_due = False
        self._standing = Standing(limits.exchange_seconds, turns.shares, now)
        self.session = GrpcSession(routes, limits, loop.call_later, self._wake, now)

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client, or turn it away."""
        # uvloop's transports are not asyncio's by inheritance.
        self._transport = transport = cast(asyncio.Transport, transport)
        self._unwritten.open(transport)
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if not self._opened(self):
            self.session.connection.fail(ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many connections"))
        elif tls is not None and tls.selected_alpn_protocol() != "h2":
            self.session.connection.fail(ConnectionFault(ErrorCode.HTTP_1_1_REQUIRED, "ALPN did not choose h2"))
        if self._turns.pressed:
            self._standing.enter(self._keepalive.last_read)
            self.in_debt = self._standing.in_debt
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Handle one read; everything sent meanwhile leaves in one write. A long read waits its turn."""
        self._keepalive.last_read = now = self._loop.time()
        if len(data) > SLICE or not self._reading or (self.in_debt and self._turns.pressed):
            self._line_up(data)
        elif self._turns.pressed:
            self._weigh(data, now)
        else:
            self._flush_due = True
            self.session.connection.receive(data, now)
            self._flush()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._unwritten.pause(self._loop.time())

    def resume_writing(self) -> None:
        """The socket takes more."""
        try:
            self._unwritten.resume()
        except RuntimeError:
            self._closing = True  # as in `_flush`
        if self._backlog and not self._jammed:
            self._turns.join(self)
        self._read_or_wait()
        self._count()
        self._close_if_finished()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._forget()
        self._closed(self)

    # ---- reads that wait their turn

    def work(self) -> bool:
        """Handle the next slice of a long read; return whether there is another that may be handled now."""
        if not self._backlog or self._closing or self._jammed:
            return False
        self._flush_due = True
        self._keepalive.last_read = now = self._loop.time()
        piece = self._backlog.take()
        self._slice = len(piece)
        self.session.connection.receive(piece, now)
        return bool(self._backlog) and not self.session.connection.finished

    def rest(self) -> None:
        """Send what the slices of this turn were answered; read on when none is left."""
        self._flush()
        self._read_or_wait()

    def charge(self, seconds: float, now: float) -> None:
        """Let the connection pay for its last slice, which took so much CPU time."""
        if self._slice:
            self._backlog.cost(seconds, self._slice)
            self._pay(seconds, self._slice, now)
            self._slice = 0

    def _weigh(self, data: bytes, now: float) -> None:
        """Handle a short read while time is short, and let the connection pay for it.

        Where there is plenty to pay with, one in a few reads pays for the others; which one, no peer can tell.
        """
        turns = self._turns
        turns.shares.hear(now)
        self._flush_due = True
        if self._until_weighed:
            self._until_weighed -= 1
            self.session.connection.receive(data, now)
            self._flush()
            return
        began = turns.clock()
        self.session.connection.receive(data, now)
        self._flush()
        done = turns.clock()
        reads = self._unweighed + 1
        self._pay((done - began) * reads, len(data) * reads, now)
        self._unweighed = self._until_weighed = int(done * 1e7) % _ONE_IN if self._standing.rich else 0

    def _pay(self, seconds: float, size: int, now: float) -> None:
        standing = self._standing
        connection = self.session.connection
        standing.charge(seconds, size, connection.outbound.answered, len(connection.streams), now)
        self.in_debt = standing.in_debt

    def _line_up(self, data: bytes) -> None:
        """Keep a long read, and read no more until it has been worked off."""
        if self._closing:
            return
        self._backlog.put(data)
        if len(data) > _FULL_READ and not self._sits_out:
            self._sits_out = True
            self._loop.call_soon(self._read_again)
        self._read_or_wait()
        if not self._jammed:
            self._turns.join(self)
        self._count()

    @property
    def _jammed(self) -> bool:
        """So many answers wait for the socket that its requests wait too."""
        return self._unwritten.held_bytes > _READ_STOP

    def _read_again(self) -> None:
        self._sits_out = False
        self._read_or_wait()

    def _read_or_wait(self) -> None:
        """Read the socket only while nothing that came from it waits and its answers go out."""
        wanted = not (self._backlog or self._sits_out or self._jammed)
        if wanted is not self._reading and not self._transport.is_closing():
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # ---- what the server calls

    def drain(self) -> None:
        """Finish the open calls, take no new ones, then close."""
        self.session.connection.drain()
        self._flush()

    def close(self) -> None:
        """Abort the open calls and close."""
        self.session.connection.close()
        self._flush()

    def abort(self) -> None:
        """Close without waiting for what is still to be written."""
        self._forget()
        self._transport.abort()

    def check(self, now: float) -> None:
        """Look after what only time shows: a slow preface, idleness, a silent peer, a reader that stalls."""
        limits = self._limits
        connection = self.session.connection
        if self._closing:
            if now - self._closing_since >= _LINGER_SECONDS:
                self._transport.abort()
            return
        if self._unwritten.paused and now - self._unwritten.paused_at >= limits.stall_seconds:
            self.abort()
            return
        if self._jammed:
            self._keepalive.last_read = now  # what the peer says is not read now: its silence is our doing
        if not self._keepalive.check(now, connection):
            self.abort()
            return
        if not self._jammed:  # else what it left unfinished is our doing, too
            if connection.established and not self._backlog:
                connection.cut_half_sent(now, limits.message_seconds)
            self.session.cut_trickling(now)
        connection.cut_stalled(now, limits.stall_seconds)
        self._flush()

    # ---- writing

    def _wake(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        out = self.session.take()
        self._flush_due = False
        if self._closing:
            return
        if out:
            unwritten = self._unwritten
            try:
                unwritten.write(out)
            except RuntimeError:
                # uvloop says so when the socket died within this turn; `connection_lost` comes with the next.
                self._closing = True
            if unwritten.paused:
                self._wait_for_socket()
        self._count()
        if self.session.connection.finished:
            self._close_if_finished()

    def _wait_for_socket(self) -> None:
        if len(self._unwritten) > self._limits.buffered_bytes:
            self.abort()
        else:
            self._read_or_wait()

    def _count(self) -> None:
        unwritten = self._unwritten
        buffered = self.session.buffered_bytes + len(self._backlog) + unwritten.held_bytes + unwritten.stuck_bytes
        if buffered != self.buffered_bytes:
            change = buffered - self.buffered_bytes
            self.buffered_bytes = buffered
            self._grew(change)

    def _forget(self) -> None:
        """Give back everything this connection keeps."""
        self._closing = True
        self._backlog.clear()
        self._turns.leave(self)
        self.session.connection.lost()
        self._unwritten.clear()
        self._count()

    def _close_if_finished(self) -> None:
        if self.session.connection.finished and not self._unwritten.held_bytes and not self._closing:
            self._closing = True
            self._closing_since = self._loop.time()
            self._backlog.clear()
            self._turns.leave(self)
            self._count()
            self._transport.close()
