"""Consistent hashing with bounded loads. Source: Mirrokni, Thorup and Zadimoghaddam, Consistent hashing with bounded
loads (2016), as KubeAI's PrefixHash strategy uses it: keyed by the first characters of the prompt, mean load factor
125 %, 256 places on the ring for each endpoint.

The prompt's beginning hashes to a place on a ring; the first endpoint from there on takes it that has fewer than
``load_factor`` times the mean of the requests in flight, this one counted.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping

import xxhash

from signalbox.lab.policies.peer import Peer, contender, lowest
from signalbox.lab.stage import Stage
from signalbox.pool import Endpoint, Rows
from signalbox.scheduling import Cycle


class BoundedHash(Peer):
    """A ring of the ready endpoints, built again when they change."""

    def __init__(self, stage: Stage, load_factor: float = 1.25, replicas: int = 256) -> None:
        self.load_factor = load_factor
        self.replicas = replicas
        self._stage = stage
        self._endpoints: Mapping[int, Endpoint] | None = None
        self._ring: list[tuple[int, int]] = []

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Walk the ring from the prompt's place."""
        load = cycle.columns.inflight
        bound = math.ceil(self.load_factor * (float(load[rows].sum()) + 1) / len(rows))
        allowed = {int(row) for row in rows if load[row] < bound}
        self._build(cycle.endpoints)
        start = bisect(self._ring, (self._key(cycle), 0))
        for index in range(len(self._ring)):
            row = self._ring[(start + index) % len(self._ring)][1]
            if row in allowed:
                return row
        return lowest(cycle, rows, load[rows])

    def _key(self, cycle: Cycle) -> int:
        """The first block stands for the first characters: prompts that share one share the other."""
        request = self._stage.request
        assert request is not None
        beginning = request.trace.blocks[:1] or (request.asked.id,)
        return xxhash.xxh64_intdigest(f"{cycle.target} {beginning[0]}".encode())

    def _build(self, endpoints: Mapping[int, Endpoint]) -> None:
        if endpoints is self._endpoints:
            return
        self._endpoints = endpoints
        self._ring = sorted(
            (xxhash.xxh64_intdigest(f"{endpoint.address} {number}".encode()), row)
            for row, endpoint in endpoints.items()
            for number in range(self.replicas)
        )


BOUNDED_HASH = contender("bounded-hash", BoundedHash)
