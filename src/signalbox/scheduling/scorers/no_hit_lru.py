"""``no-hit-lru-scorer``."""

from __future__ import annotations

from functools import cache

import numpy as np

from signalbox.pool import Endpoint, Floats, Rows
from signalbox.scheduling.framework import FEW, Cycle, Decision
from signalbox.scheduling.parameters import PositiveCount
from signalbox.scheduling.plugin import Parameters, Plugin, ScorerPlugin


class NoHitLRUParameters(Parameters):
    """Parameters of no-hit-lru-scorer."""

    lru_size: PositiveCount = 1024
    """How many endpoints are remembered."""
    prefix_match_info_producer_name: str = ""
    """The approx-prefix-cache-producer to read. There is one prefix index, which every name means."""
    prefill_profile: str = "prefill"
    """The profile whose choice counts too, besides the primary one."""


class NoHitLRUScorer(ScorerPlugin[NoHitLRUParameters]):
    """Prompts that nobody has cached go in turn to where one has not gone for longest.

    Formula: for a prompt no endpoint of the pool holds a block of, ``1 - i / (n - 1)`` with i the candidate's place
    from 0 among n: endpoints never given such a prompt first, then the least recently given; 1 for a single candidate.
    With any block held anywhere, by a candidate or not, or no prefix looked up, 0.5 for all. The place changes when a
    decision is made, and again when a fallback serves the request. Source: no-hit-lru-scorer of llm-d.
    """

    type = "no-hit-lru-scorer"
    use = "Beside prefix-cache-scorer: it spreads new conversations, which then stay where they began."
    reads_prefix = True

    def __init__(self, parameters: NoHitLRUParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._given: Floats = np.zeros(8)  # for each row when it last got a cold prompt, in decisions; 0 for never
        self._clock = 0.0

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return each endpoint's place in the queue for cold prompts, or 0.5."""
        count = len(rows)
        if not _is_cold(cycle):
            return np.full(count, 0.5)
        if count == 1:
            return np.ones(1)
        self._fit(cycle.columns.size)
        scores: Floats = np.empty(count)
        scores[np.argsort(self._given[rows], kind="stable")] = np.linspace(1.0, 0.0, count)
        return scores

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        count = len(rows)
        if not _is_cold(cycle):
            return [0.5] * count
        if count == 1:
            return [1.0]
        self._fit(cycle.columns.size)
        given = self._given.tolist()
        scores = [0.0] * count
        longest_ago = sorted(range(count), key=lambda index: given[rows[index]])
        for index, score in zip(longest_ago, _places(count), strict=True):
            scores[index] = score
        return scores

    def routed(self, cycle: Cycle, decision: Decision) -> None:
        """Send the endpoints that got a cold prompt to the end of the queue."""
        if not _is_cold(cycle):
            return
        chosen = [decision.rows[0], *decision.stages.get(self.parameters.prefill_profile, ())[:1]]
        self._fit(cycle.columns.size)
        places = cycle.memo[self.name] = {}
        for row in chosen:
            self._clock += 1
            places[row] = (float(self._given[row]), self._clock)
            self._given[row] = self._clock
        self._given[self._given <= self._clock - self.parameters.lru_size] = 0.0

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> None:
        """Give the first choice its place back, unless it got another cold prompt since, and send the endpoint that got
        this one to the end."""
        places = cycle.memo.get(self.name)
        if places is None:
            return
        self._fit(cycle.columns.size)
        before, after = places[decision.rows[0]]
        if self._given[decision.rows[0]] == after:
            self._given[decision.rows[0]] = before
        self._clock += 1
        self._given[row] = self._clock

    def left(self, endpoint: Endpoint) -> None:
        """Forget the endpoint's place."""
        if endpoint.row < len(self._given):
            self._given[endpoint.row] = 0.0

    def adopt(self, previous: Plugin[NoHitLRUParameters]) -> None:
        """Keep the queue."""
        assert isinstance(previous, NoHitLRUScorer)
        self._given, self._clock = previous._given, previous._clock

    def _fit(self, size: int) -> None:
        if len(self._given) < size:
            self._given = np.concatenate([self._given, np.zeros(size - len(self._given))])


@cache
def _places(count: int) -> list[float]:
    """Return the scores of ``count`` candidates in the order of their turns; asked for few only."""
    scores: list[float] = np.linspace(1.0, 0.0, count).tolist()
    return scores


def _is_cold(cycle: Cycle) -> bool:
    prefix = cycle.prefix
    if prefix is None:
        return False
    blocks = prefix.blocks
    return not (any(blocks.tolist()) if len(blocks) <= FEW else blocks.any())
