"""``edf-ordering-policy``."""

from __future__ import annotations

import math

from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import OrderingPlugin, Turn


class EarliestDeadlineFirst(OrderingPlugin[Parameters]):
    """Whoever's time runs out first goes first.

    Formula: sorts by ``arrival + TTL``; without a TTL by arrival alone. All requests of a configuration have the same
    TTL, here as in the reference, so that this is the order of arrival. Source: edf-ordering-policy of the Gateway API
    Inference Extension and llm-d.
    """

    type = "edf-ordering-policy"
    use = "Configurations that name it. Where deadlines differ, slo-deadline-ordering-policy knows them."

    def key(self, turn: Turn) -> float:
        """Return when it is given up."""
        return math.inf if turn.ttl is None else turn.arrived + turn.ttl
