"""``header-label-affinity-scorer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.resources.limits import text
from signalbox.resources.scalars import LabelKey
from signalbox.resources.strict import Boolean
from signalbox.scheduling.derived import label_masks
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.plugin import Parameters, ScorerPlugin


class HeaderLabelAffinityParameters(Parameters):
    """Parameters of header-label-affinity-scorer."""

    header_name: Annotated[str, text(1, 128)]
    """The request header with the preferred value."""
    label_key: LabelKey
    """The endpoint's label to compare it with."""
    stamp_response_header: Boolean = True
    """Set the same header on the answer to the label of the endpoint that was chosen."""


class HeaderLabelAffinityScorer(ScorerPlugin[HeaderLabelAffinityParameters]):
    """Endpoints whose label has the value that a request header asks for are better.

    Formula: 1 where the label equals the header's value, else 0; 0 for all without the header. Source:
    header-label-affinity-scorer of llm-d.
    """

    type = "header-label-affinity-scorer"
    use = "A client or coordinator that prefers a zone, a slice or a hardware type, but takes another."

    def __init__(self, parameters: HeaderLabelAffinityParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._header = self.parameters.header_name.lower()
        self._masks = label_masks(self.parameters.label_key)

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return 1 for a matching label, else 0."""
        mask = self._masks.of(cycle).get(cycle.headers.get(self._header, ""))
        return np.zeros(len(rows)) if mask is None else mask[rows].astype(np.float64)

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return the same."""
        mask = self._masks.of(cycle).get(cycle.headers.get(self._header, ""))
        if mask is None:
            return [0.0] * len(rows)
        has = mask.tolist()
        return [1.0 if has[row] else 0.0 for row in rows]

    def answer_headers(self, cycle: Cycle, decision: Decision) -> Mapping[str, str]:
        """Tell the client the label of the endpoint it was sent to."""
        endpoint = cycle.endpoints.get(decision.rows[0])
        label = endpoint.labels.get(self.parameters.label_key) if endpoint is not None else None
        if label is None or not self.parameters.stamp_response_header:
            return {}
        return {self._header: label}
