"""``weighted-random-picker``."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Mask, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.pickers.parameters import PickerParameters
from signalbox.scheduling.plugin import PickerPlugin

_STEP = 2.0**-32


class WeightedRandomPicker(PickerPlugin[PickerParameters]):
    """Candidates by chance, in proportion to their scores.

    Formula: the highest keys ``U ** (1 / score)`` win, U drawn evenly from (0, 1) for each candidate; compared here as
    ``log(U) / score``. A score of 0 never wins, unless all are 0: then all are equally likely. Source: algorithm A-Res
    of Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006), as in weighted-random-picker of the
    Gateway API Inference Extension and llm-d.
    """

    type = "weighted-random-picker"
    use = "Several pickers side by side that cannot see each other's requests; spreading over a sticky set."

    @property
    def endpoints(self) -> int:
        """How many endpoints an answer names."""
        return self.parameters.max_num_of_endpoints

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Return up to ``limit`` rows drawn without replacement."""
        positive: Mask = scores > 0
        if positive.any():
            rows, scores = rows[positive], scores[positive]
        else:
            scores = np.ones(len(rows))
        draws = np.frombuffer(cycle.rng.randbytes(4 * len(rows)), np.uint32)
        keys = np.log((draws + 0.5) * _STEP) / scores
        picked: Rows = rows[np.argsort(-keys)[:limit]]
        return picked
