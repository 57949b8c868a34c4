"""What one endpoint is believed to hold, in the order in which it would be evicted.

Blocks that came together and were used together stay together in *runs*. A run is a piece of a chain; prompts that
share a beginning share the runs of the beginning and go on in runs of their own. Since every hash covers all blocks
before it, a run is found by its first hash, matches in full if its last hash matches, and where a prompt leaves it is
found by bisection. So using 1,600 known blocks costs as much as the number of runs they fell into, about two a turn.

Runs are kept least recently used first. Using a prompt moves its runs to the end, the last run of the prompt first;
so whatever continues a run always stands before it, the front of the order is always the tail of some chain, and
evicting from there takes tails before heads.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence

Blocks = Sequence[int]


class _Run:
    """Consecutive blocks of a chain. ``born`` is the tick that added them, ``uses`` counts the uses not taken back."""

    __slots__ = ("blocks", "born", "uses")

    def __init__(self, blocks: array[int], born: int, uses: int) -> None:
        self.blocks = blocks
        self.born = born
        self.uses = uses


RUN_BYTES = 350
"""Estimated size of a run without its blocks, eight bytes each."""


class Residence:
    """The blocks of one endpoint, at most ``capacity`` of them if `evict` is called after every `use`."""

    __slots__ = ("_order", "_runs", "blocks", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.blocks = 0
        """How many blocks are held."""
        self._runs: dict[int, _Run] = {}
        self._order: OrderedDict[_Run, None] = OrderedDict()

    @property
    def runs(self) -> int:
        """How many runs the blocks have fallen into."""
        return len(self._runs)

    def use(self, chain: Blocks, tick: int) -> int:
        """Hold all of ``chain``, as the most recently used; return how many of its blocks were held before.

        ``tick`` must be greater than that of any earlier call.
        """
        path: list[_Run] = []
        position, length = 0, len(chain)
        while position < length:
            run = self._runs.get(chain[position])
            if run is None:
                break
            end = position + len(run.blocks)
            if end > length or chain[end - 1] != run.blocks[-1]:
                run = self._split(run, _shared(run.blocks, chain, position))
                end = position + len(run.blocks)
            run.uses += 1
            path.append(run)
            position = end
        if position < length:
            run = _Run(array("Q", chain[position:]), tick, 1)
            self._runs[chain[position]] = run
            self._order[run] = None
            self.blocks += length - position
        for run in reversed(path):
            self._order.move_to_end(run)
        return position

    def take_back(self, chain: Blocks, tick: int) -> list[Blocks]:
        """Undo `use` of ``chain`` at ``tick``: return the blocks that are held no more since no other use is left."""
        gone: list[Blocks] = []
        position = 0
        while position < len(chain):
            run = self._runs.get(chain[position])
            if run is None or run.born > tick:
                break  # evicted since, and perhaps added again by somebody else
            run.uses -= 1
            if not run.uses:
                self._remove(run)
                gone.append(run.blocks)
            position += len(run.blocks)
        return gone

    def evict(self, count: int) -> list[Blocks]:
        """Remove and return the ``count`` least recently used blocks, of each chain the last ones first."""
        gone: list[Blocks] = []
        while count > 0 and self._order:
            run = next(iter(self._order))
            if len(run.blocks) <= count:
                self._remove(run)
                gone.append(run.blocks)
            else:
                gone.append(run.blocks[-count:])
                del run.blocks[-count:]
                self.blocks -= count
            count -= len(gone[-1])
        return gone

    def all(self) -> list[Blocks]:
        """Return every block held."""
        return [run.blocks for run in self._order]

    def _split(self, run: _Run, head: int) -> _Run:
        """Cut a run after ``head`` blocks and return the first part; the second keeps the run's place in the order."""
        first = _Run(run.blocks[:head], run.born, run.uses)
        del run.blocks[:head]
        self._runs[first.blocks[0]] = first
        self._runs[run.blocks[0]] = run
        self._order[first] = None
        return first

    def _remove(self, run: _Run) -> None:
        del self._runs[run.blocks[0]]
        del self._order[run]
        self.blocks -= len(run.blocks)


def _shared(blocks: array[int], chain: Blocks, position: int) -> int:
    """How many blocks of a run that begins as ``chain`` does at ``position`` are the same: one at least."""
    low, high = 1, min(len(blocks), len(chain) - position)
    while low < high:
        middle = (low + high + 1) >> 1
        if blocks[middle - 1] == chain[position + middle - 1]:
            low = middle
        else:
            high = middle - 1
    return low
