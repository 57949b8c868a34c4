"""The requests of one priority that wait, by flow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from signalbox.scheduling.checked_flow import check_flow, check_key, check_rota
from signalbox.scheduling.fairness.global_strict import StrictRota
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.flow_settings import BandSettings
from signalbox.scheduling.plugin import Plugin
from signalbox.scheduling.queueing import Rota, Turn
from signalbox.scheduling.ranked import Ranked

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BandFigures:
    """How much waits in a band; a limit of ``None`` is none."""

    priority: int
    requests: int
    bytes: int
    flows: int
    max_requests: int | None
    max_bytes: int | None


class Band:
    """Queues of the flows of one priority: there is one while somebody of the flow waits.

    A fairness policy that raises, or names a flow of which nobody waits, is passed over for that request in favour of
    the default policy; its order is kept beside it from the first such fault on. A request whose key an ordering policy
    cannot say goes after all others.
    """

    def __init__(self, priority: int, settings: BandSettings, faults: Faults, now: float) -> None:
        self.priority = priority
        self.settings = settings
        self.requests = 0
        self.bytes = 0
        self.idle_since = now
        """When the last one left, in seconds; means nothing while somebody waits."""
        self._faults = faults
        self._flows: dict[str, Ranked[Turn]] = {}
        self._instead: StrictRota | None = None
        fairness = settings.fairness
        self._rota: Rota | None = self._try(fairness, lambda: check_rota(fairness.name, fairness.rota()))
        if self._rota is None:
            self._fall_back()

    def __iter__(self) -> Iterator[Turn]:
        return chain.from_iterable(self._flows.values())

    def figures(self) -> BandFigures:
        """Return how much waits."""
        limits = self.settings
        return BandFigures(
            self.priority, self.requests, self.bytes, len(self._flows), limits.max_requests, limits.max_bytes
        )

    def put(self, turn: Turn, number: int) -> None:
        """Queue a turn; ``number`` is larger than those of all before."""
        flow = turn.flow.fairness_id
        queue = self._flows.get(flow)
        if queue is None:
            queue = self._flows[flow] = Ranked()
        queue.put(turn, (self._key(turn), number))
        self.requests += 1
        self.bytes += turn.size
        if queue.first() is turn:
            self._tell_head(flow, turn)

    def peek(self, now: float) -> Turn:
        """Return whose turn it is. Somebody waits."""
        return self._first(self._pick(now))

    def take(self, now: float) -> Turn:
        """Take out whose turn it is. Somebody waits."""
        flow = self._pick(now)
        turn = self._first(flow)
        rota = self._rota
        if rota is not None:
            self._try(self.settings.fairness, lambda: rota.took(flow, now))
        self.remove(turn, now)
        return turn

    def remove(self, turn: Turn, now: float) -> None:
        """Take a turn out that waits here."""
        flow = turn.flow.fairness_id
        queue = self._flows[flow]
        was_first = queue.first() is turn
        queue.discard(turn)
        self.requests -= 1
        self.bytes -= turn.size
        self.idle_since = max(self.idle_since, now)
        first = queue.first()
        if first is None:
            del self._flows[flow]
            self._tell_left(flow)
        elif was_first:
            self._tell_head(flow, first)

    def charged(self, flow: str, now: float) -> None:
        """The fairness policy was told of service to a flow."""
        rota = self._rota
        if rota is not None:
            self._try(self.settings.fairness, lambda: rota.charged(flow, now))

    def _first(self, flow: str) -> Turn:
        turn = self._flows[flow].first()
        assert turn is not None
        return turn

    def _pick(self, now: float) -> str:
        rota, fairness = self._rota, self.settings.fairness
        if rota is not None:
            flow = self._try(fairness, lambda: check_flow(fairness.name, rota.pick(now), self._flows))
            if flow is not None:
                return flow
        return self._fall_back().pick(now)

    def _fall_back(self) -> StrictRota:
        if self._instead is None:
            self._instead = StrictRota()
            for flow, queue in self._flows.items():
                first = queue.first()
                assert first is not None
                self._instead.head(flow, first, queue.rank(first))
        return self._instead

    def _tell_head(self, flow: str, turn: Turn) -> None:
        rota, rank = self._rota, self._flows[flow].rank(turn)
        if rota is not None:
            self._try(self.settings.fairness, lambda: rota.head(flow, turn, rank))
        if self._instead is not None:
            self._instead.head(flow, turn, rank)

    def _tell_left(self, flow: str) -> None:
        rota = self._rota
        if rota is not None:
            self._try(self.settings.fairness, lambda: rota.left(flow))
        if self._instead is not None:
            self._instead.left(flow)

    def _key(self, turn: Turn) -> float:
        ordering = self.settings.ordering
        key = self._try(ordering, lambda: check_key(ordering.name, ordering.key(turn)))
        return math.inf if key is None else key

    def _try(self, plugin: Plugin[Any], method: Callable[[], R]) -> R | None:
        try:
            return method()
        except Exception as error:
            self._faults.note(plugin.name, error)
            return None
