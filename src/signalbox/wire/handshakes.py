"""TCP connections on their way to TLS: how many there may be, and how each becomes a connection of the server."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import cast

from signalbox.wire.handshake_line import TAKEN_UP_SECONDS, HandshakeLine, HandshakePace

_TICK = 0.001
"""Seconds that uvloop's timers count in."""


class Handshakes:
    """Takes accepted connections through their handshake: at most ``most`` at once, with those that wait for it.

    One begins in each round of the loop, or as ``pace`` allows. A handshake costs some 55 KB, and nothing need have
    been sent for it. Where one more comes, one is cut: the oldest under way, since a gateway's takes milliseconds, so
    that is one that somebody holds open; or, where more wait than that, the oldest of the host that has the most
    waiting. ``cut`` is told of each. ``made`` gives the protocol, which hears only of those that succeed within
    ``seconds``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tls: ssl.SSLContext,
        most: int,
        seconds: float,
        pace: HandshakePace,
        made: Callable[[], asyncio.Protocol],
        cut: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._tls = tls
        self._most = most
        tls.sslobject_class = _weighed(self._spend)
        self._seconds = seconds
        self._pace = pace
        self._made = made
        self._cut = cut
        self._line: HandshakeLine[socket.socket] = HandshakeLine()
        self._due: asyncio.Handle | None = None
        self._under_way: dict[asyncio.Task[None], None] = {}
        self.failures: Counter[str] = Counter()
        """Those that came to nothing: ``crowded`` out by later ones, ``timeout``, or ``refused`` by one of the two
        sides, for want of TLS or of a certificate, or because it went away."""

    def __len__(self) -> int:
        return len(self._under_way) + len(self._line)

    def accept(self) -> asyncio.Protocol:
        """Return the protocol of one more connection; for ``create_server`` without TLS."""
        return _Door(self)

    def begin(self, peer: socket.socket) -> None:
        """Shake hands with ``peer``, which is ours from now on, when it is its turn."""
        try:
            host = str(peer.getpeername()[0])
        except OSError:  # it is gone
            self.failures["refused"] += 1
            peer.close()
            return
        if len(self) >= self._most:
            self._make_room()
        self._line.put(host, peer)
        if self._due is None:
            self._wait()

    def close(self) -> None:
        """Cut all."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        while self._line:
            self._line.take().close()
        for task in self._under_way:
            task.cancel()
        self._under_way.clear()

    def _make_room(self) -> None:
        self.failures["crowded"] += 1
        self._cut()
        if len(self._line) > len(self._under_way):
            self._line.drop().close()
        else:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()

    def _wait(self) -> None:
        """Begin the next when the pace allows; those who have something to say are heard before it is asked."""
        wait = self._pace.wait(self._loop.time())
        if wait > 0:
            self._due = self._loop.call_later(max(wait, _TICK), self._look_around)
        else:
            self._due = self._loop.call_soon(self._begin_next)

    def _look_around(self) -> None:
        # uvloop runs this before it looks at its sockets, and what is called soon from here as well.
        self._due = self._loop.call_soon(self._looked)

    def _looked(self) -> None:
        self._due = self._loop.call_soon(self._begin_next)

    def _begin_next(self) -> None:
        """Begin one handshake, if it still is its time."""
        self._due = None
        now = self._loop.time()
        if self._pace.wait(now) <= 0:
            peer = self._line.take()
            if _is_gone(peer):
                self.failures["refused"] += 1
                peer.close()
            else:
                self._pace.spend(TAKEN_UP_SECONDS, now)
                task = self._loop.create_task(self._run(peer))
                self._under_way[task] = None
                task.add_done_callback(partial(self._over, peer))
        if self._line:
            self._wait()

    def _spend(self, seconds: float) -> None:
        self._pace.spend(seconds, self._loop.time())

    def _over(self, peer: socket.socket, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
        if task.cancelled():  # perhaps before it began
            peer.close()

    async def _run(self, peer: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._made, peer, ssl=self._tls, ssl_handshake_timeout=self._seconds
            )
        except OSError as error:
            # Both loops say so of one that took too long. A peer that goes away is a `ConnectionResetError`.
            self.failures["timeout" if isinstance(error, ConnectionAbortedError) else "refused"] += 1
            peer.close()


def _weighed(spend: Callable[[float], None]) -> type[ssl.SSLObject]:
    """Return a class whose handshakes tell ``spend`` how many CPU seconds each of their steps takes."""

    class Weighed(ssl.SSLObject):
        def do_handshake(self) -> None:
            began = time.thread_time()
            try:
                super().do_handshake()
            finally:
                spend(time.thread_time() - began)

    return Weighed


def _is_gone(peer: socket.socket) -> bool:
    """Say whether a peer that waited has closed its connection without a word."""
    try:
        return not peer.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False  # it has said nothing so far
    except OSError:
        return True


class _Door(asyncio.Protocol):
    """An accepted connection, for as long as it takes to hand it on: nothing is read from it here.

    Neither loop tells the protocol of a TLS server of a connection before its handshake is over, nor would it be sure
    to give TLS what a client sent before `loop.start_tls`.
    """

    def __init__(self, handshakes: Handshakes) -> None:
        self._handshakes = handshakes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not asyncio's by inheritance.
        plain = cast(asyncio.Transport, transport)
        try:
            peer = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
        except OSError:  # no descriptor is left, or the peer is gone
            plain.abort()
            return
        plain.abort()  # closes its own descriptor only: the connection lives on in the other
        peer.setblocking(False)
        self._handshakes.begin(peer)
