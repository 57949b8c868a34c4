"""Work that waits, done in turns: whoever sends as fast as it can leaves the others theirs.

A read of up to `SLICE` bytes is handled at once, since that is what a well-behaved peer sends. Of a longer one (a
socket may give 256 KiB) the rest waits here, cut into slices, and the connections that wait take one each in turn. Once
`Limits.turn_seconds` have gone the event loop goes round: sockets are read, timers run, then the next slices follow.

Where that is not enough, time is short, and each read is weighed: what it cost is charged to its connection, and who
owes more than it has earned (:mod:`signalbox.wire.turns_standing`) waits in a line of its own, from which one slice is
taken when those in good standing leave time for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from signalbox.wire.limits import KIB
from signalbox.wire.turns_standing import Shares

SLICE: Final = 16 * KIB
"""Bytes handled without a look at the clock. The costliest there are, heads never seen before, take about 1 us each."""
_FIRST: Final = 2 * KIB
"""Bytes of the first slice of a connection, which shows what they cost."""
_SMALLEST: Final = 64
"""Bytes of a slice, however much they cost."""
_TICK: Final = 0.001
"""Seconds that uvloop's timers count in."""
_BUSY: Final = 0.7
"""Of a core: with more than that used, time is short."""


class Backlog:
    """What reads brought and nobody has handled yet. Its slices are as long as about ``seconds`` of CPU reach."""

    __slots__ = ("_at", "_data", "_seconds", "_size")

    def __init__(self, seconds: float) -> None:
        self._data = b""
        self._at = 0
        self._seconds = seconds
        self._size = _FIRST

    def __len__(self) -> int:
        return len(self._data) - self._at

    def put(self, data: bytes) -> None:
        """Add bytes behind the others."""
        self._data = self._data[self._at :] + data if self else data
        self._at = 0

    def take(self) -> bytes:
        """Return the next slice, or as many bytes as are left."""
        at = self._at
        piece = self._data[at : at + self._size]
        self._at = at + len(piece)
        if self._at >= len(self._data):
            self.clear()
        return piece

    def cost(self, seconds: float, size: int) -> None:
        """Learn from a slice of ``size`` bytes how long the next may be."""
        fitting = size * self._seconds / seconds if seconds > 0 else SLICE
        self._size = int(max(_SMALLEST, min(fitting, SLICE)))

    def clear(self) -> None:
        """Throw everything away."""
        self._data = b""
        self._at = 0


class HasBacklog(Protocol):
    """Somebody who stands in line."""

    @property
    def in_debt(self) -> bool:
        """It has had more than it earned."""

    def work(self) -> bool:
        """Handle one slice; return whether there is another that may be handled now."""

    def charge(self, seconds: float, now: float) -> None:
        """The slice took ``seconds`` of CPU."""

    def rest(self) -> None:
        """The turn is over: send what was answered, and read on if nothing is left."""


class Loop(Protocol):
    """What is used of an event loop."""

    def time(self) -> float:
        """Seconds of the wall clock."""

    def call_soon(self, callback: Callable[[], None]) -> Any:
        """Call it when the loop has gone round."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Call it in ``delay`` seconds."""


class Turns:
    """The lines of all connections of a server that have a backlog. ``clock`` tells CPU seconds of this thread."""

    __slots__ = (
        "_alarm",
        "_debtors",
        "_line",
        "_looked",
        "_loop",
        "_scheduled",
        "_seconds",
        "clock",
        "pressed",
        "shares",
    )

    def __init__(self, loop: Loop, seconds: float, share: float, clock: Callable[[], float] = time.thread_time) -> None:
        self._loop = loop
        self._seconds = seconds
        self.clock = clock
        self.shares = Shares(share)
        self.pressed = False
        """Time is short: every read is to be weighed."""
        self._line: dict[HasBacklog, None] = {}
        self._debtors: dict[HasBacklog, None] = {}
        self._scheduled = False
        self._alarm: asyncio.TimerHandle | None = None
        self._looked = (loop.time(), clock())

    def __len__(self) -> int:
        return len(self._line) + len(self._debtors)

    def join(self, member: HasBacklog) -> None:
        """Put ``member`` at the end of its line, if it is in none. Where nobody else stood there, its turn is now.

        In debt it waits for the loop to go round at least.
        """
        if member in self._debtors:
            return
        if not member.in_debt:
            self._line[member] = None
            if not self._scheduled:
                self._run()
        elif member not in self._line:
            self._debtors[member] = None
            self._schedule()

    def leave(self, member: HasBacklog) -> None:
        """Take ``member`` out of its line, if it stands in one."""
        self._line.pop(member, None)
        self._debtors.pop(member, None)

    def look(self) -> None:
        """See how busy the thread was since the last look, and whether time is short; to be called now and then."""
        (then, spent), self._looked = self._looked, (self._loop.time(), self.clock())
        now, total = self._looked
        if now > then and total - spent > _BUSY * (now - then):
            self._press(now)
        self.pressed = self.shares.pressed(now)

    def _press(self, now: float) -> None:
        self.shares.press(now)
        self.pressed = True

    def _run(self) -> None:
        """One turn of the loop: slices, one for each connection after the other, until the time is up."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._scheduled = True  # whoever joins meanwhile waits behind the others
        line = self._line
        worked: dict[HasBacklog, None] = {}
        try:
            now = self._loop.time()
            at = self.clock()
            until = at + self._seconds
            while line and at < until:
                at = self._work(line, worked, now, at)
            if self._debtors and self.shares.wait(now) <= 0:
                self._work_in_debt(now, at)
            for member in worked:
                member.rest()
        finally:  # whatever happens to one, the others keep their turns
            if line or self._debtors:
                self._press(self._loop.time())
            self._scheduled = False
            self._schedule()
            self.shares.listen()

    def _work(self, line: dict[HasBacklog, None], worked: dict[HasBacklog, None], now: float, at: float) -> float:
        """Let the first in ``line`` handle a slice, at CPU second ``at``; return the CPU second when it is done."""
        member = next(iter(line))
        del line[member]
        worked[member] = None
        more = member.work()
        done = self.clock()
        member.charge(done - at, now)
        if member.in_debt:
            if more:
                self._debtors[member] = None
        else:
            self.shares.hear(now)
            if more:
                line[member] = None
        return done

    def _work_in_debt(self, now: float, at: float) -> None:
        """Take one slice of one member that is in debt."""
        member = next(iter(self._debtors))
        del self._debtors[member]
        more = member.work()
        member.rest()
        seconds = self.clock() - at
        member.charge(seconds, now)
        self.shares.spend(seconds, now)
        if more:
            (self._debtors if member.in_debt else self._line)[member] = None

    def _schedule(self) -> None:
        """See to it that there is another turn, at once or when somebody in debt may have one."""
        if self._scheduled:
            return
        wait = 0.0
        if not self._line:
            if not self._debtors:
                return
            wait = self.shares.wait(self._loop.time())
        if wait > 0:
            if self._alarm is None:
                self._alarm = self._loop.call_later(max(wait, _TICK), self._ring)
        else:
            self._scheduled = True
            self._loop.call_soon(self._run)

    def _ring(self) -> None:
        """Somebody in debt may have a slice, unless sockets that nobody has looked at yet bring something."""
        self._alarm = None
        if not self._scheduled:
            self._scheduled = True
            self.shares.listen()
            # uvloop runs this before it looks at its sockets, and what is called soon from here as well.
            self._loop.call_soon(self._after_reads)

    def _after_reads(self) -> None:
        self._loop.call_soon(self._run)
