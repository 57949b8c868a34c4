"""Least request: the endpoint with the fewest requests in flight through this router, as ``least-request`` of AIBrix
and ``least_load`` of SMG count them."""

from __future__ import annotations

from signalbox.lab.policies.peer import Peer, contender, lowest
from signalbox.pool import Rows
from signalbox.scheduling import Cycle


class LeastRequest(Peer):
    """Fewest in flight; ties by chance."""

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Return the least loaded."""
        return lowest(cycle, rows, cycle.columns.inflight[rows])


LEAST_REQUEST = contender("least-request", lambda stage: LeastRequest())
