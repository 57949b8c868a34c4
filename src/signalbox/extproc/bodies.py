"""Request bodies that wait for their last piece or for their turn, and how much of that a picker keeps in all."""

from __future__ import annotations

from collections.abc import Callable

_SMALL = 4096
_MERGED = 64 * 1024


def _nothing() -> int:
    return 0


class BodyBudget:
    """Bytes of unfinished and waiting request bodies that all exchanges of a picker may keep together.

    ``elsewhere`` tells what its transport keeps (unfinished messages, answers that wait): both count against ``limit``.
    A body is given up only when a piece of one comes, so what the transport takes in between, up to a bound of its own,
    can come on top.
    """

    __slots__ = ("_elsewhere", "held", "holders", "limit")

    def __init__(self, limit: int = 1024 * 1024 * 1024, elsewhere: Callable[[], int] = _nothing) -> None:
        self.limit = limit
        """Bytes."""
        self.held = 0
        """Bytes of bodies kept now, with what is kept of answers to read their usage."""
        self.holders: dict[HeldBody, Callable[[], None]] = {}
        """Who keeps them, and what makes that one give its body up."""
        self._elsewhere = elsewhere

    @property
    def exceeded(self) -> bool:
        """More is kept than may be."""
        return self.held + self._elsewhere() > self.limit

    def enforce(self) -> None:
        """Where more is kept than may be, have the longest body given up: not whoever comes last pays."""
        if self.holders and self.exceeded:
            self.holders[max(self.holders, key=_size)]()


class HeldBody:
    """The pieces of one request body. Short ones are merged, so that a body sent byte by byte costs what it holds."""

    __slots__ = ("_budget", "_pieces", "size")

    def __init__(self, budget: BodyBudget, give_up: Callable[[], None]) -> None:
        """``give_up`` is called, within any body's `add`, when the budget is exceeded and this body is the longest."""
        self._budget = budget
        self._pieces: list[bytes | bytearray] = []
        self.size = 0
        """Bytes so far."""
        budget.holders[self] = give_up

    def add(self, piece: bytes) -> None:
        """Keep the next piece."""
        size = len(piece)
        pieces = self._pieces
        if size >= _SMALL or not pieces:
            pieces.append(piece)
        elif isinstance(last := pieces[-1], bytearray) and len(last) < _MERGED:
            last += piece
        elif size:
            pieces.append(bytearray(piece))
        self.size += size
        budget = self._budget
        budget.held += size
        budget.enforce()

    def take(self, last: bytes = b"") -> bytes:
        """Return the whole body, ``last`` at its end, and keep it no longer."""
        pieces = self._pieces
        if last:
            pieces.append(last)
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.drop()
        return whole if isinstance(whole, bytes) else bytes(whole)

    def drop(self) -> None:
        """Keep nothing."""
        self._budget.held -= self.size
        self._budget.holders.pop(self, None)
        self.size = 0
        self._pieces = []


def _size(body: HeldBody) -> int:
    return body.size
