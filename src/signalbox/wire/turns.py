"""Long reads, worked off in turns: whoever sends as fast as it can leaves the others theirs.

A read of up to `SLICE` bytes is handled at once, since that is what a well-behaved peer sends. Of a longer one (a
socket may give 256 KiB) the rest waits here, cut into slices, and the connections that wait take one each in turn. Once
`Limits.turn_seconds` have gone the event loop goes round: sockets are read, timers run, then the next slices follow.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol

from signalbox.wire.limits import KIB

SLICE: Final = 16 * KIB
"""Bytes handled without a look at the clock. The costliest there are, heads never seen before, take about 1 us each."""

_clock = time.perf_counter


class Backlog:
    """What one read brought and nobody has handled yet."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def put(self, data: bytes) -> None:
        """Add bytes behind the others."""
        self._data = self._data[self._at :] + data if self else data
        self._at = 0

    def take(self) -> bytes:
        """Return the next `SLICE` bytes, or as many as are left."""
        at = self._at
        piece = self._data[at : at + SLICE]
        self._at = at + len(piece)
        if self._at >= len(self._data):
            self.clear()
        return piece

    def clear(self) -> None:
        """Throw everything away."""
        self._data = b""
        self._at = 0


class HasBacklog(Protocol):
    """Somebody who stands in line."""

    def work(self) -> bool:
        """Handle one slice; return whether there is another that may be handled now."""

    def rest(self) -> None:
        """The turn is over: send what was answered, and read on if nothing is left."""


class Turns:
    """The line of all connections of a server that have a backlog."""

    __slots__ = ("_line", "_loop", "_scheduled", "_seconds")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._line: deque[HasBacklog] = deque()
        self._scheduled = False

    def __len__(self) -> int:
        return len(self._line)

    def join(self, member: HasBacklog) -> None:
        """Put ``member`` at the end of the line, if it is not in it. Where nobody else stood there, its turn is now."""
        if member not in self._line:
            self._line.append(member)
        if not self._scheduled:
            self._run()

    def leave(self, member: HasBacklog) -> None:
        """Take ``member`` out of the line, if it stands in it."""
        if member in self._line:
            self._line.remove(member)

    def _run(self) -> None:
        """One turn of the loop: slices, one for each connection after the other, until the time is up."""
        self._scheduled = True  # whoever joins meanwhile waits behind the others
        until = _clock() + self._seconds
        line = self._line
        worked: dict[HasBacklog, None] = {}
        try:
            while line:
                member = line.popleft()
                worked[member] = None
                if member.work():
                    line.append(member)
                if _clock() >= until:
                    break
            for member in worked:
                member.rest()
        finally:  # whatever happens to one, the others keep their turns
            self._scheduled = bool(line)
            if line:
                self._loop.call_soon(self._run)
