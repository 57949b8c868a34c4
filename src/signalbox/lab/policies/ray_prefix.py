"""Ray Serve LLM's PrefixCacheAffinityRouter. Source: docs.ray.io, serve/llm, Prefix-aware routing.

While the longest and the shortest queue differ by less than ``imbalanced_threshold``: the replicas with the longest
matching prefix where that is at least ``match_rate_threshold`` of the prompt, otherwise those with the least in their
prefix tree. Beyond the threshold, and among several, power of two choices. Ray's own default threshold is infinite,
which never looks at load; the one here is the 10 of an example of its guide, which serves it better.
"""

from __future__ import annotations

from signalbox.lab.policies.peer import Peer, RowTable, contender
from signalbox.lab.policies.power_of_two import better_of_two
from signalbox.lab.stage import TracePrefixes
from signalbox.pool import Endpoint, Rows
from signalbox.scheduling import Cycle


class RayPrefix(Peer):
    """The two thresholds, and the size of each replica's tree in tokens."""

    def __init__(self, match_rate_threshold: float = 0.1, imbalanced_threshold: float = 10.0) -> None:
        self.match_rate_threshold = match_rate_threshold
        self.imbalanced_threshold = imbalanced_threshold
        self._held = RowTable()

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Narrow down by prefix while the load is even; then the better of two."""
        row = better_of_two(cycle, self._candidates(cycle, rows))
        if cycle.prefix is not None:
            known = float(cycle.prefix.blocks[row]) * cycle.prefix.block_size
            self._held.add(row, max(cycle.prompt_tokens - known, 0.0))
        return row

    def _candidates(self, cycle: Cycle, rows: Rows) -> Rows:
        load = cycle.columns.inflight[rows]
        if cycle.prefix is None or load.max() - load.min() >= self.imbalanced_threshold:
            return rows
        matched = cycle.prefix.ratio(rows)
        if matched.max() >= self.match_rate_threshold:
            best: Rows = rows[matched >= matched.max()]
            return best
        held = self._held.of(rows)
        smallest: Rows = rows[held <= held.min()]
        return smallest

    def left(self, endpoint: Endpoint) -> None:
        """Its tree goes with it."""
        self._held.put(endpoint.row, 0.0)


RAY_PREFIX = contender("ray-prefix", lambda stage: RayPrefix(), TracePrefixes)
