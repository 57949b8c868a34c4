"""Where a cold adapter goes: one that some server can load, and none of the candidates has in memory.

Bringing it in costs a slot. Candidates with a free slot come first, since nothing is displaced there; then those with
an adapter in a slot that has no request, and of them the one whose displaced adapter was used longest ago. Where every
slot is busy there is no place: the request waits wherever it goes. A server that lists
the adapter and does not say how many slots it has is taken to have `UNTOLD_SLOTS`, as many as are remembered of it.

Among equals rendezvous hashing decides: the endpoint with the highest hash of (adapter, address). Every picker computes
the same one, so that the requests of several gateways for one adapter meet on one server, and an endpoint that comes
or goes moves only the adapters that are its own. Hashing knows nothing of load, so it is bounded: an endpoint with more
than ``BOUND`` times the mean number of requests, and ``SLACK`` more, is passed over. (Consistent hashing with bounded
loads: Mirrokni, Thorup and Zadimoghaddam, 2018.)
"""

from __future__ import annotations

import numpy as np
import xxhash

from signalbox.pool import Columns, Rows
from signalbox.pool.columns import Hashes
from signalbox.pool.residency import UNTOLD_SLOTS

BOUND = 1.25
SLACK = 2.0
"""Requests. Loading an adapter twice costs more than two more requests in a batch."""


def place(columns: Columns, adapter: str, rows: Rows) -> int | None:
    """Return the row to bring ``adapter`` in at; ``None`` where each of ``rows`` has all its slots in use."""
    slots = columns.lora_max[rows]
    listed = columns.loaded.get(adapter)
    if listed is not None:
        slots[(slots == 0) & listed[rows]] = UNTOLD_SLOTS
    places: Rows = rows[columns.lora_resident[rows] < slots]
    free = len(places) > 0
    if not free:
        places = rows[columns.lora_active[rows] < slots]
        if not len(places):
            return None
    load = columns.running[places] + columns.queue(places)
    places = places[load <= BOUND * load.mean() + SLACK]
    if not free:
        idle_since = columns.lora_idle_since[places]
        places = places[idle_since == idle_since.min()]
    if len(places) == 1:
        return int(places[0])
    return int(places[np.argmax(_draws(columns.identity[places], adapter))])


def _draws(identities: Hashes, adapter: str) -> Hashes:
    """One number for each endpoint, as good as random: the finalizer of splitmix64 over both hashes."""
    seed = xxhash.xxh64_intdigest(adapter.encode("utf-8", "surrogatepass"))
    drawn = identities ^ np.uint64(seed)
    drawn = (drawn ^ (drawn >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    drawn = (drawn ^ (drawn >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = drawn ^ (drawn >> np.uint64(31))
    return mixed
