"""Power of two choices: of two endpoints drawn by chance the one with fewer requests in flight. Source: Mitzenmacher,
The power of two choices in randomized load balancing (2001); the default of Ray Serve, and Envoy's LEAST_REQUEST."""

from __future__ import annotations

from signalbox.lab.policies.peer import Peer, contender
from signalbox.pool import Rows
from signalbox.scheduling import Cycle


def better_of_two(cycle: Cycle, rows: Rows) -> int:
    """Draw two of ``rows`` and return the one with fewer requests in flight."""
    drawn = [int(row) for row in cycle.rng.sample(range(len(rows)), min(2, len(rows)))]
    return min((int(rows[index]) for index in drawn), key=lambda row: float(cycle.columns.inflight[row]))


class PowerOfTwo(Peer):
    """The better of two."""

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Draw and compare."""
        return better_of_two(cycle, rows)


POWER_OF_TWO = contender("power-of-two", lambda stage: PowerOfTwo())
