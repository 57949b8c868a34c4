"""How often a peer may do what is legal but costs us more than it costs the peer."""

from __future__ import annotations


class Allowance:
    """A token bucket that looks at the clock only when it is empty.

    ``burst`` events may come at once, ``per_second`` in the long run; each `earn` allows one more. Because it refills
    only when empty, up to twice the burst can pass after a quiet time.
    """

    __slots__ = ("_burst", "_level", "_per_second", "_since")

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._level = burst
        self._since: float | None = None

    def earn(self) -> None:
        """Allow one more event; what lies above the burst is lost at the next `spend`."""
        self._level += 1

    def grant(self, events: float) -> bool:
        """Allow more events after a `spend` was refused; say whether that covers it."""
        self._level = min(self._burst, self._level + events)
        return self._level >= 0

    def spend(self, now: float, cost: float = 1) -> bool:
        """Take ``cost`` events at ``now`` (seconds) and say whether they were allowed."""
        if self._since is None:
            self._since = now
        self._level = min(self._level, self._burst) - cost
        if self._level >= 0:
            return True
        self._level = min(self._burst, self._level + (now - self._since) * self._per_second)
        self._since = now
        return self._level >= 0
