"""What a connection has to say and its socket does not take yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from signalbox.wire.limits import KIB

PIECE: Final = 256 * KIB
"""Bytes that are written at once, and with which a transport has enough.

Over TLS a transport tells neither of what it handed on to the TCP transport below it, nor that this one is full: only
what is written after that shows. So all is written in pieces, and up to two of them are there unseen."""


class WriteBuffer:
    """Writes to one transport what it takes, in pieces, and keeps the rest.

    The protocol tells it of `pause` and `resume`; between the two nothing is written.
    """

    __slots__ = ("_pieces", "_transport", "held_bytes", "paused", "paused_at", "stuck_bytes")

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self.held_bytes = 0
        """What is kept here."""
        self.stuck_bytes = 0
        """What the transport kept when it had enough."""
        self.paused = False
        self.paused_at = 0.0
        """The second at which the transport last had enough."""

    def __len__(self) -> int:
        return self.held_bytes + self.stuck_bytes

    def open(self, transport: asyncio.Transport) -> None:
        """Write to ``transport`` from here on."""
        self._transport = transport
        transport.set_write_buffer_limits(high=PIECE)

    def write(self, out: bytes) -> None:
        """Write ``out`` behind everything before it.

        Raises `RuntimeError` where uvloop finds the socket dead within this turn of the loop.
        """
        if not self.paused and len(out) <= PIECE:
            self._transport.write(out)
            return
        # A slice each, not a view: what has gone is not to be kept for what has not.
        self._pieces.extend([out[at : at + PIECE] for at in range(0, len(out), PIECE)])
        self.held_bytes += len(out)
        self._go_on()

    def pause(self, now: float) -> None:
        """The transport takes no more for now."""
        self.paused = True
        self.paused_at = now
        self.stuck_bytes = self._transport.get_write_buffer_size()

    def resume(self) -> None:
        """The transport takes more: write until it has enough again. Raises what `write` does."""
        self.paused = False
        self.stuck_bytes = 0
        self._go_on()

    def clear(self) -> None:
        """Throw away what is kept; the transport is about to do the same."""
        self._pieces.clear()
        self.held_bytes = self.stuck_bytes = 0

    def _go_on(self) -> None:
        while self._pieces and not self.paused and not self._transport.is_closing():
            piece = self._next()
            self.held_bytes -= len(piece)
            self._transport.write(piece)

    def _next(self) -> bytes:
        """Take the next bytes, short ones together, `PIECE` of them at most."""
        pieces = self._pieces
        taken = [pieces.popleft()]
        size = len(taken[0])
        while pieces and size + len(pieces[0]) <= PIECE:
            size += len(pieces[0])
            taken.append(pieces.popleft())
        return b"".join(taken)
