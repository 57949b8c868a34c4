"""``cost-scorer``: cheaper servers first, read from a label."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Endpoint, Floats, Rows
from signalbox.scheduling import Cycle, Parameters, ScorerPlugin
from signalbox.scheduling.derived import number_columns


class CostParameters(Parameters):
    """Parameters of cost-scorer."""

    label: str = "example.com/cost-per-hour"
    """The label that holds what an endpoint costs an hour."""
    ceiling: float = 100.0
    """The cost that scores 0."""


class CostScorer(ScorerPlugin[CostParameters]):
    """Cheaper servers are better.

    Formula: ``1 - cost / ceiling``, from the label; 0 for a server without a readable label.
    """

    type = "cost-scorer"
    use = "Pools that mix reserved and on-demand hardware."

    def __init__(self, parameters: CostParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._costs = number_columns(self._cost, 1)

    def _cost(self, endpoint: Endpoint) -> tuple[float]:
        try:
            return (float(endpoint.labels.get(self.parameters.label, "nan")),)
        except ValueError:
            return (np.nan,)

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return how far each cost is below the ceiling; what is outside 0..1 is clamped by the profile."""
        scores: Floats = 1.0 - self._costs.of(cycle)[0, rows] / self.parameters.ceiling
        return np.nan_to_num(scores)
