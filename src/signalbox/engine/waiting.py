"""Requests that wait for their turn: a queue for each adapter.

A request whose adapter has no slot is overtaken by those of other adapters without a walk over all that wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from signalbox.engine.adapters import AdapterTiers
from signalbox.engine.requests import RequestState


class WaitingQueues:
    """Who waits, in the order of submission; preempted requests are ahead of everybody of their adapter."""

    __slots__ = ("_adapters", "_queues")

    def __init__(self, adapters: AdapterTiers) -> None:
        self._adapters = adapters
        self._queues: dict[str | None, deque[RequestState]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __iter__(self) -> Iterator[RequestState]:
        for queue in self._queues.values():
            yield from queue

    def append(self, state: RequestState) -> None:
        """A request was submitted."""
        self._queues.setdefault(state.request.adapter, deque()).append(state)

    def put_back(self, state: RequestState) -> None:
        """A request was preempted."""
        self._queues.setdefault(state.request.adapter, deque()).appendleft(state)

    def remove(self, state: RequestState) -> None:
        """It is this request's turn, or it was cancelled."""
        queue = self._queues[state.request.adapter]
        if queue[0] is state:
            queue.popleft()
        else:
            queue.remove(state)
        if not queue:
            del self._queues[state.request.adapter]

    def next(self, start: float) -> RequestState | None:
        """Whose turn it is in a batch that starts at ``start``; ``None`` where nobody has arrived who may join it."""
        best: RequestState | None = None
        for adapter, queue in self._queues.items():
            head = queue[0]
            if (
                head.arrival <= start
                and (best is None or head.order < best.order)
                and self._adapters.admissible(adapter)
            ):
                best = head
        return best

    def earliest(self) -> float:
        """When the first of them arrived, in seconds. There must be one."""
        return min([queue[0].arrival for queue in self._queues.values()])

    def counts(self) -> tuple[int, int]:
        """How many wait, and how many of these are held back because their adapter would exceed the LoRA slots."""
        waiting = deferred = 0
        for adapter, queue in self._queues.items():
            waiting += len(queue)
            if not self._adapters.admissible(adapter):
                deferred += len(queue)
        return waiting, deferred

    def fork(self, adapters: AdapterTiers, twins: Mapping[RequestState, RequestState]) -> WaitingQueues:
        """A copy for an engine with these adapters, of the requests' ``twins``."""
        copy = WaitingQueues(adapters)
        copy._queues = {name: deque([twins[state] for state in queue]) for name, queue in self._queues.items()}
        return copy
