"""The sequences that gain one token in every batch.

A sequence stores the tick at which it began to decode and not a counter, so a batch costs only what changes in it.
Which sequences need a new KV block in a batch is known from where they began: they stand in one of ``block_size``
lists, and each batch looks at one of them. When a sequence ends is known from the beginning, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush

from signalbox.engine.requests import Phase, RequestState


class DecodingSet:
    """Sequences that decode. ``tick`` counts batches, ``kv_tokens`` is the context of all sequences together."""

    __slots__ = ("_crossings", "_finish_ticks", "_finishing", "_size", "_taken", "count", "kv_tokens", "tick")

    def __init__(self, block_size: int) -> None:
        self.tick = 0
        self.count = 0
        self.kv_tokens = 0
        self._size = block_size
        self._crossings: list[dict[RequestState, None]] = [{} for _ in range(block_size)]
        self._taken = [0] * block_size  # for each of these lists: blocks a sequence in it was given in jumps
        self._finishing: dict[int, list[RequestState]] = {}
        self._finish_ticks: list[int] = []  # a heap of the keys of _finishing

    def generated(self, state: RequestState) -> int:
        """Tokens a sequence of this set has produced so far."""
        return state.base_generated + self.tick - state.base_tick

    def begin(self, state: RequestState) -> None:
        """A sequence has its first token, or its next after a preemption."""
        request = state.request
        state.base_generated += 1
        state.base_tick = self.tick
        state.finish_tick = self.tick + request.output_tokens - state.base_generated
        state.phase = Phase.DECODE
        context = request.prompt_tokens + state.base_generated
        self.count += 1
        self.kv_tokens += context
        place = (self.tick - (context - 1)) % self._size
        self._crossings[place][state] = None
        state.jumped = self._taken[place]
        finishing = self._finishing.get(state.finish_tick)
        if finishing is None:
            self._finishing[state.finish_tick] = [state]
            heappush(self._finish_ticks, state.finish_tick)
        else:
            finishing.append(state)

    def leave(self, state: RequestState) -> None:
        """A sequence leaves; its ``base_generated`` has been brought up to date, and now its blocks are."""
        context = state.request.prompt_tokens + state.base_generated
        self.count -= 1
        self.kv_tokens -= context
        started = context - (self.tick - state.base_tick)
        place = (state.base_tick - (started - 1)) % self._size
        del self._crossings[place][state]
        state.private += self._taken[place] - state.jumped

    def due(self) -> list[RequestState]:
        """Who needs a new block in the batch that starts now."""
        return list(self._crossings[self.tick % self._size])

    def advance(self) -> None:
        """A batch is over: everybody has one token more."""
        self.tick += 1
        self.kv_tokens += self.count

    def ended(self) -> list[RequestState]:
        """Whose last token came with the batch that has just ended."""
        return [
            state
            for state in self._finishing.pop(self.tick, ())
            if state.phase is Phase.DECODE and state.finish_tick == self.tick
        ]

    def batches_to_an_end(self) -> int:
        """How many batches it takes, at least, until a sequence ends. There must be one."""
        ticks = self._finish_ticks
        while ticks[0] <= self.tick:
            heappop(ticks)
        return ticks[0] - self.tick

    def blocks_for(self, batches: int) -> int:
        """How many blocks all sequences together need for so many batches."""
        cycles, rest = divmod(batches, self._size)
        return cycles * self.count + sum([len(self._crossings[place]) for place in self._next(rest)])

    def jump(self, batches: int) -> None:
        """So many batches are over at once, in which nobody ended; their blocks have been allocated."""
        cycles, rest = divmod(batches, self._size)
        if cycles:
            self._taken = [blocks + cycles for blocks in self._taken]
        for place in self._next(rest):
            self._taken[place] += 1
        self.tick += batches
        self.kv_tokens += batches * self.count

    def fork(self, twins: Mapping[RequestState, RequestState]) -> DecodingSet:
        """A copy that goes its own way, of the sequences' ``twins``."""
        copy = DecodingSet(self._size)
        copy.tick, copy.count, copy.kv_tokens = self.tick, self.count, self.kv_tokens
        copy._crossings = [{twins[state]: None for state in crossing} for crossing in self._crossings]
        copy._taken = self._taken.copy()
        copy._finishing = {
            tick: [twins[state] for state in states if state in twins] for tick, states in self._finishing.items()
        }
        copy._finish_ticks = self._finish_ticks.copy()
        return copy

    def _next(self, batches: int) -> list[int]:
        return [(self.tick + ahead) % self._size for ahead in range(batches)]
