"""``queue-scorer``."""

from __future__ import annotations

from signalbox.pool import Floats, Rows, few
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import Parameters, ScorerPlugin
from signalbox.scheduling.scorers.spread import lowest_is_best, lowest_is_best_few


class QueueScorer(ScorerPlugin[Parameters]):
    """Shorter queues are better.

    Formula: ``(max - q) / (max - min)`` over the candidates, 1 for all where all are equal; q is the number of waiting
    requests, corrected for what was sent and what ended since the last scrape. Source: queue-scorer of the Gateway
    API Inference Extension and llm-d, which use the scraped number alone and so send every arrival between two scrapes
    to the same endpoint.
    """

    type = "queue-scorer"
    use = "Almost always: the plainest sign of an overloaded server. Part of the default profile, weight 2."

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 1 for the shortest queue, 0 for the longest."""
        return lowest_is_best(cycle.columns.queue(rows))

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        return lowest_is_best_few(few.queue(cycle.columns, rows))
