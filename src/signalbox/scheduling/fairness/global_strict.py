"""``global-strict-fairness-policy``."""

from __future__ import annotations

from signalbox.scheduling.plugin import Parameters
from signalbox.scheduling.queueing import FairnessPlugin, Rota, Turn
from signalbox.scheduling.ranked import Rank, Ranked


class StrictRota(Rota):
    """Flows by the rank of their first."""

    def __init__(self) -> None:
        self.flows: Ranked[str] = Ranked()

    def head(self, flow: str, turn: Turn, rank: Rank) -> None:
        """Sort the flow by its new first."""
        self.flows.put(flow, rank)

    def left(self, flow: str) -> None:
        """Forget the flow."""
        self.flows.discard(flow)

    def pick(self, now: float) -> str:
        """Return the flow whose first ranks first. Raises LookupError where nobody waits."""
        flow = self.flows.first()
        if flow is None:
            raise LookupError("nobody waits")
        return flow


class GlobalStrict(FairnessPlugin[Parameters]):
    """Flows do not count: the band is one queue, in the order of its ordering policy.

    Formula: the flow whose first request the ordering policy puts first. A heap of these, so that a request costs the
    logarithm of the number of flows; the reference compares them all. Source: global-strict-fairness-policy of the
    Gateway API Inference Extension and llm-d.
    """

    type = "global-strict-fairness-policy"
    use = "The default. A client that sends more gets more."

    def rota(self) -> Rota:
        """Return an empty order of flows."""
        return StrictRota()
