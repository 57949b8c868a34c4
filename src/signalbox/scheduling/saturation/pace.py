"""``pace-detector``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signalbox.pool import Floats, Rows
from signalbox.scheduling.asking import find_plugin
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.least_cost import pace_of
from signalbox.scheduling.observation import Finished
from signalbox.scheduling.parameters import NotNegative, Positive
from signalbox.scheduling.plugin import DetectorPlugin, Parameters, Plugin
from signalbox.scheduling.saturation.partitions import Partitions
from signalbox.scheduling.scorers.least_cost import LeastCostScorer

LEAST_ANSWERS = 30
"""Answers that must have ended before anything is said: until then the pool counts as idle."""

QUANTILE = 0.9
PRIOR_SPREAD = 1.2
GAIN = 0.01
"""How far the spread moves with one answer, as a fraction: up where the answer is beyond it, and a ninth of that down
where it is not, so that it comes to rest where one in ten is."""


class PaceDetectorParameters(Parameters):
    """Parameters of pace-detector."""

    token_target_ms: Positive = 50.0
    """Milliseconds per output token that nine of ten answers are to keep. It must be more than an idle server takes."""
    headroom: NotNegative = 0.0
    """How far beyond full an endpoint may be before it is dropped from a profile, as a fraction."""
    least_cost_scorer_name: str = ""
    """The least-cost-scorer to ask. Needed where there are several; where there is none one is added, that scores
    nothing."""


class PaceDetector(DetectorPlugin[PaceDetectorParameters]):
    """The pool is as full as its answers are slow.

    Formula: for each endpoint ``spread * t / tokenTargetMs``, with t the time per output token that least-cost-scorer
    expects of an answer that begins there now, and spread how much more than the mean nine of ten answers took at most,
    learned from those that ended; 0 for an endpoint without requests of ours, and for all until 30 answers have ended;
    the mean over the endpoints; the larger of prefill servers and others where a pool has both. In a profile: keeps
    what is at most ``1 + headroom``, and all where none is. Source: none, see docs/least-cost.md.
    """

    type = "pace-detector"
    use = "What matters is how fast answers come. It is full long before a queue forms or a KV cache is used up."

    def __init__(self, parameters: PaceDetectorParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._partitions = Partitions()
        self._scorer: LeastCostScorer | None = None
        self._spread = PRIOR_SPREAD

    def needs(self) -> tuple[str, ...]:
        """Return the type of the scorer it asks."""
        return (LeastCostScorer.type,)

    def connect(self, plugins: Mapping[str, Plugin[Any]]) -> None:
        """Look up the scorer."""
        name = self.parameters.least_cost_scorer_name
        self._scorer = find_plugin(plugins, LeastCostScorer, name, "leastCostScorerName")

    def saturation(self, cycle: Cycle, rows: Rows) -> float:
        """Return the mean of the endpoints' values."""
        if self._scorer is None or self._scorer.paced < LEAST_ANSWERS:
            return 0.0 if len(rows) else 1.0
        return self._partitions.fullest(cycle, rows, lambda part: float(self._each(cycle, part).mean()))

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows within limits and headroom, or all."""
        if self._scorer is None or self._scorer.paced < LEAST_ANSWERS:
            return rows
        kept: Rows = rows[self._each(cycle, rows) <= 1.0 + self.parameters.headroom + 1e-9]
        return kept if len(kept) else rows

    def _each(self, cycle: Cycle, rows: Rows) -> Floats:
        assert self._scorer is not None
        value = self._scorer.paces(cycle, rows) * (self._spread * 1000.0 / self.parameters.token_target_ms)
        # Whatever was measured there last: who has nothing to do is not full, or nobody would ever be sent again.
        value[cycle.columns.requests(rows) <= 0.0] = 0.0
        return value

    def finished(self, observation: Finished) -> None:
        """Learn how much slower than the mean the slowest of ten answers is."""
        if self._scorer is None or not observation.complete:
            return
        pace = pace_of(observation.output_tokens, observation.first_token_seconds, observation.seconds)
        if pace is None or not self._scorer.token_seconds:
            return
        beyond = pace > self._scorer.token_seconds * self._spread
        self._spread *= 1.0 + GAIN * (QUANTILE if beyond else QUANTILE - 1.0)

    def adopt(self, previous: Plugin[PaceDetectorParameters]) -> None:
        """Keep what was learned."""
        assert isinstance(previous, PaceDetector)
        self._spread = previous._spread
