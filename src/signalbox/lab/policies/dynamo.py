"""NVIDIA Dynamo's KV router. Source: the KV Router and Routing Concepts pages of docs.nvidia.com/dynamo (0.4 to 1.2).

The cost of a worker is ``w * prefill_blocks + decode_blocks``: prompt tokens to compute there, this request's and those
of earlier ones without a first token yet, in blocks; and the blocks of the sequences active there, this one's included.
The least cost wins; with a temperature above 0 one is drawn from the softmax of the negated costs, brought to 0..1.
Its caches are known from KV events. Expected answers count among the active tokens here and not there, by the same for
each request.
"""

from __future__ import annotations

import numpy as np

from signalbox.lab.policies.peer import Peer, contender, lowest
from signalbox.lab.stage import TruePrefixes
from signalbox.pool import Floats, Rows
from signalbox.scheduling import Cycle


class Dynamo(Peer):
    """``overlap_weight`` is --kv-overlap-score-weight, ``temperature`` --router-temperature, with their defaults."""

    def __init__(self, overlap_weight: float = 1.0, temperature: float = 0.0, block_size: int = 16) -> None:
        self.overlap_weight = overlap_weight
        self.temperature = temperature
        self.block_size = block_size

    def costs(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the cost of each row, in blocks."""
        columns, prefix = cycle.columns, cycle.prefix
        uncached = prefix.uncached_tokens(rows) if prefix is not None else np.full(len(rows), cycle.prompt_tokens)
        prefill: Floats = columns.prefill_tokens[rows] + uncached
        active: Floats = columns.context_tokens[rows] + cycle.prompt_tokens
        return (self.overlap_weight * prefill + active) / self.block_size

    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Return the row of least cost, or one by softmax."""
        costs = self.costs(cycle, rows)
        if not self.temperature:
            return lowest(cycle, rows, costs)
        spread = float(np.ptp(costs))
        scaled = (costs - costs.min()) / (spread or 1.0)
        weights = np.exp(-scaled / self.temperature)
        return int(cycle.rng.choices(rows.tolist(), weights.tolist())[0])


DYNAMO = contender("dynamo", lambda stage: Dynamo(), TruePrefixes)
DYNAMO_WARM = contender("dynamo-temperature", lambda stage: Dynamo(temperature=0.2), TruePrefixes)
