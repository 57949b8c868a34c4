"""Round robin: the endpoints in turn, as a Kubernetes Service or Envoy's ROUND_ROBIN spreads requests."""

from __future__ import annotations

from signalbox.lab.policies.peer import Peer, contender
from signalbox.pool import Rows
from signalbox.scheduling import Cycle


class RoundRobin(Peer):
    """The next one after the last."""

    def __init__(self) -> None:
        self._last = -1

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Return the first row above the last choice, or the first of all."""
        del cycle
        later = rows[rows > self._last]
        self._last = int(later[0] if len(later) else rows[0])
        return self._last


ROUND_ROBIN = contender("round-robin", lambda stage: RoundRobin())
