"""Which messages of one publisher have come: they are numbered from 0, and a gap means that some are lost."""

from __future__ import annotations

import enum


class Arrival(enum.Enum):
    """What a message's number says."""

    NEXT = "next"
    AGAIN = "again"
    """A replay has brought it already."""
    GAP = "gap"
    """Some before it are missing."""
    RESTART = "restart"
    """The publisher has begun anew."""


class Sequence:
    """Counts the messages of one publisher."""

    __slots__ = ("_replayed", "expected")

    def __init__(self) -> None:
        self.expected: int | None = None
        """Number of the next message; ``None`` before the first."""
        self._replayed = 0  # below it, live messages may still be on their way that a replay has brought

    def see(self, number: int) -> Arrival:
        """Return what the number of a live message says; unless it came again, it counts as the last that came."""
        expected = self.expected
        if expected is not None and number < min(expected, self._replayed):
            return Arrival.AGAIN
        self.expected, self._replayed = number + 1, 0
        if number == (expected or 0):
            return Arrival.NEXT
        return Arrival.GAP if expected is None or number > expected else Arrival.RESTART

    def replayed(self, following: int) -> None:
        """A replay has brought everything before message ``following``."""
        self.expected = self._replayed = following

    def reset(self) -> None:
        """Nothing is known of the publisher any more."""
        self.expected, self._replayed = None, 0
