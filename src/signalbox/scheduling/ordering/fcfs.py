"""``fcfs-ordering-policy``."""

from __future__ import annotations

from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import OrderingPlugin, Turn


class FirstComeFirstServed(OrderingPlugin[Parameters]):
    """Whoever came first goes first.

    Formula: sorts by the time of arrival. Source: fcfs-ordering-policy of the Gateway API Inference Extension and
    llm-d.
    """

    type = "fcfs-ordering-policy"
    use = "The default."

    def key(self, turn: Turn) -> float:
        """Return when it arrived."""
        return turn.arrived
