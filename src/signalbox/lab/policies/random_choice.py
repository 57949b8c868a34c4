"""Random: any endpoint, whatever its load. The baseline that knows nothing."""

from __future__ import annotations

from signalbox.lab.policies.peer import Peer, any_of, contender
from signalbox.pool import Rows
from signalbox.scheduling import Cycle


class RandomChoice(Peer):
    """Every endpoint is equally likely."""

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Draw one."""
        return any_of(cycle, rows)


RANDOM = contender("random", lambda stage: RandomChoice())
