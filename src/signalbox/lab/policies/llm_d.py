"""The profiles of GIE v1.5 and llm-d: weighted sums of a queue, a KV cache and a prefix score, as their documentation
and their well-known configurations give them.

queue: ``(max - q) / (max - min)`` over the endpoints, 1 where all are equal; KV cache: 1 - usage; prefix: matched part
of the prompt; active requests: ``(max - c) / max``; no-hit-lru: a prompt nobody has cached prefers the endpoint that
has gone without such a prompt for longest. The best sum wins, ties by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signalbox.lab.policies.peer import Peer, RowTable, contender, lowest
from signalbox.lab.policies.reference_prefixes import IndexDefects, ReferencePrefixes
from signalbox.lab.stage import Contender, TruePrefixes
from signalbox.pool import Endpoint, Floats, Rows
from signalbox.scheduling import Cycle


@dataclass(frozen=True, slots=True)
class Weights:
    """What each scorer counts; 0 leaves it out."""

    queue: float = 2.0
    kv_cache: float = 2.0
    prefix: float = 3.0
    no_hit_lru: float = 0.0
    active: float = 0.0


class WeightedScores(Peer):
    """Weighted scorers and the highest sum. ``stale`` takes queue and KV usage as they were scraped last, as the
    reference does; otherwise they are corrected for what was sent since, as here."""

    def __init__(self, weights: Weights | None = None, stale: bool = True) -> None:
        self.weights = weights or Weights()
        self.stale = stale
        self._turn = RowTable()
        self._turns = 0

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Return the row of the highest sum."""
        weights, columns = self.weights, cycle.columns
        queue = columns.waiting[rows] if self.stale else columns.queue(rows)
        usage = columns.kv_usage[rows] if self.stale else columns.kv(rows)
        total: Floats = weights.queue * _short_is_good(queue) + weights.kv_cache * (1.0 - np.minimum(usage, 1.0))
        if cycle.prefix is not None:
            total += weights.prefix * np.minimum(cycle.prefix.ratio(rows), 1.0)
        if weights.active:
            active = columns.inflight[rows]
            total += weights.active * (1.0 - active / max(float(active.max()), 1.0))
        cold = cycle.prefix is None or not cycle.prefix.blocks[rows].any()
        if weights.no_hit_lru and cold and len(rows) > 1:
            places = np.empty(len(rows))
            places[np.argsort(self._turn.of(rows), kind="stable")] = np.linspace(1.0, 0.0, len(rows))
            total += weights.no_hit_lru * places
        row = lowest(cycle, rows, -total)
        if cold:
            self._turns += 1
            self._turn.put(row, self._turns)
        return row

    def left(self, endpoint: Endpoint) -> None:
        """Its turn is forgotten."""
        self._turn.put(endpoint.row, 0.0)


def _short_is_good(queue: Floats) -> Floats:
    high, low = queue.max(), queue.min()
    return np.ones(len(queue)) if high == low else (high - queue) / (high - low)


def approximate(
    name: str, weights: Weights | None = None, *, stale: bool = True, defects: IndexDefects | None = None
) -> Contender:
    """A profile over the approximate index; without ``defects`` it has all of them."""
    return contender(
        name,
        lambda stage: WeightedScores(weights, stale),
        lambda stage, parameters: ReferencePrefixes(stage, parameters, defects),
    )


def precise(name: str, weights: Weights | None = None, *, stale: bool = True) -> Contender:
    """A profile over what the engines' caches hold, as told by KV events."""
    return contender(name, lambda stage: WeightedScores(weights, stale), TruePrefixes)


LLM_D_DEFAULT = approximate("llm-d-default")
LLM_D_MENDED = approximate(
    "llm-d-mended",
    stale=False,
    defects=IndexDefects(four_times_capacity=False, head_first=False, gaps=False),
)
LLM_D_OPTIMIZED = approximate("llm-d-optimized", Weights(no_hit_lru=2.0))
LLM_D_PRECISE = precise("llm-d-precise", Weights(queue=0.0, kv_cache=2.0, prefix=2.0, no_hit_lru=2.0, active=4.0))
