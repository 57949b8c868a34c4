"""Things in order of a rank, from which any can be taken out again."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)

Rank = tuple[float, int]
"""What sorts by: the smaller first. The second part is a number of its own for everything, so that nothing ties."""

SLACK = 16
"""Entries of things that are gone which the heap may hold beyond as many as there are things."""


class Ranked(Generic[Item]):
    """A heap with removal: whatever is done costs O(log n), or O(1), on average over what was done before.

    Things that were taken out, or given another rank, leave an entry behind that is passed over when it comes first.
    Once these outnumber the things themselves the heap is made anew.
    """

    __slots__ = ("_heap", "_ranks", "steps")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._ranks: dict[Item, Rank] = {}
        self.steps = 0
        """Entries looked at so far: what things have cost, for tests."""

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, item: Item) -> bool:
        return item in self._ranks

    def __iter__(self) -> Iterator[Item]:
        """In the order in which they were put in."""
        return iter(self._ranks)

    def put(self, item: Item, rank: Rank) -> None:
        """Put ``item`` in, or give it another rank."""
        self.steps += 1
        self._ranks[item] = rank
        heappush(self._heap, (*rank, item))
        if len(self._heap) > 2 * len(self._ranks) + SLACK:
            self._tidy()

    def discard(self, item: Item) -> bool:
        """Take ``item`` out; return whether it was there."""
        self.steps += 1
        if self._ranks.pop(item, None) is None:
            return False
        if len(self._heap) > 2 * len(self._ranks) + SLACK:
            self._tidy()
        return True

    def rank(self, item: Item) -> Rank:
        """Return the rank of ``item``. Raises KeyError."""
        return self._ranks[item]

    def first(self) -> Item | None:
        """Return what has the smallest rank; ``None`` where there is nothing."""
        heap, ranks = self._heap, self._ranks
        while heap:
            self.steps += 1
            key, number, item = heap[0]
            if ranks.get(item) == (key, number):
                return item
            heappop(heap)
        return None

    def _tidy(self) -> None:
        self.steps += len(self._heap)
        self._heap = [(*rank, item) for item, rank in self._ranks.items()]
        heapify(self._heap)
