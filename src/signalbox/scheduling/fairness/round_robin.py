"""``round-robin-fairness-policy``."""

from __future__ import annotations

from collections import OrderedDict

from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import FairnessPlugin, Rota, Turn
from signalbox.scheduling.ranked import Rank


class RoundRobinRota(Rota):
    """Flows in the order in which they go."""

    def __init__(self) -> None:
        self._flows: OrderedDict[str, None] = OrderedDict()

    def head(self, flow: str, turn: Turn, rank: Rank) -> None:
        """Let a flow that joins go after all others."""
        self._flows.setdefault(flow)

    def left(self, flow: str) -> None:
        """Forget the flow."""
        self._flows.pop(flow, None)

    def pick(self, now: float) -> str:
        """Return the flow that has waited for its turn the longest. Raises StopIteration where nobody waits."""
        return next(iter(self._flows))

    def took(self, flow: str, now: float) -> None:
        """Let all others go before it goes again."""
        self._flows.move_to_end(flow)


class RoundRobin(FairnessPlugin[Parameters]):
    """Flows take turns, one request each.

    Formula: the flow that was served longest ago; one that joins comes after all that wait already. Between two
    requests of a flow that waits, every other flow that waits is served once. Costs the same for any number of flows.
    Source: round-robin-fairness-policy of the Gateway API Inference Extension and llm-d.
    """

    type = "round-robin-fairness-policy"
    use = "Several tenants share a pool, and one that sends more must not push the others aside."

    def rota(self) -> Rota:
        """Return an empty order of flows."""
        return RoundRobinRota()
