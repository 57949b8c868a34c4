"""TCP connections on their way to TLS: how many there may be, and how each becomes a connection of the server."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import cast


class Handshakes:
    """Takes accepted connections through their handshake: at most ``most`` at once.

    A handshake costs some 55 KB, and nothing need have been sent for it. Where one more comes, the oldest is cut: a
    gateway's takes milliseconds, so the oldest is one that somebody holds open. ``cut`` is told of each. ``made`` gives
    the protocol, which hears only of those that succeed within ``seconds``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tls: ssl.SSLContext,
        most: int,
        seconds: float,
        made: Callable[[], asyncio.Protocol],
        cut: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._tls = tls
        self._most = most
        self._seconds = seconds
        self._made = made
        self._cut = cut
        self._under_way: dict[asyncio.Task[None], None] = {}
        self.failures: Counter[str] = Counter()
        """Those that came to nothing: ``crowded`` out by later ones, ``timeout``, or ``refused`` by one of the two
        sides, for want of TLS or of a certificate, or because it went away."""

    def __len__(self) -> int:
        return len(self._under_way)

    def accept(self) -> asyncio.Protocol:
        """Return the protocol of one more connection; for ``create_server`` without TLS."""
        return _Door(self)

    def begin(self, peer: socket.socket) -> None:
        """Shake hands with ``peer``, which is ours from now on."""
        if len(self._under_way) >= self._most:
            self.failures["crowded"] += 1
            self._cut()
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._run(peer))
        self._under_way[task] = None
        task.add_done_callback(partial(self._over, peer))

    def close(self) -> None:
        """Cut all."""
        for task in self._under_way:
            task.cancel()
        self._under_way.clear()

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
