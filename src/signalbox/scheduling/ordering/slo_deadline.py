"""``slo-deadline-ordering-policy``."""

from __future__ import annotations

import math

from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import OrderingPlugin, Turn


class SLODeadline(OrderingPlugin[Parameters]):
    """Whoever's first token is due first goes first.

    Formula: sorts by ``arrival + x-llm-d-slo-ttft-ms``; requests without that header, or with one that cannot be read,
    come last, in the order of arrival. Source: slo-deadline-ordering-policy of the Gateway API Inference Extension and
    llm-d.
    """

    type = "slo-deadline-ordering-policy"
    use = "Clients that say how long they can wait. Requests that never say may starve behind those that do."

    def key(self, turn: Turn) -> float:
        """Return when its first token is due."""
        return math.inf if turn.slo_ttft is None else turn.arrived + turn.slo_ttft
