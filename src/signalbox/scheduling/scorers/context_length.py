"""``context-length-aware``."""

from __future__ import annotations

import re

import numpy as np

from signalbox.pool import Endpoint, Floats, Mask, Rows
from signalbox.resources.strict import Boolean
from signalbox.scheduling.derived import number_columns
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.plugin import Parameters, ScorerPlugin

_RANGE = re.compile(r"\s*([0-9]{1,12})\s*-\s*([0-9]{1,12})\s*")


class ContextLengthParameters(Parameters):
    """Parameters of context-length-aware."""

    label: str = "llm-d.ai/context-length-range"
    """The label that holds an endpoint's range of prompt lengths, in tokens: ``"min-max"``."""
    enable_filtering: Boolean = False
    """Also leave out endpoints whose range does not hold the prompt."""


class ContextLengthAware(ScorerPlugin[ContextLengthParameters]):
    """Endpoints whose labelled range of prompt lengths fits the prompt best are better.

    Formula, for a prompt of L tokens: within min..max ``0.3 + 0.7 * (0.7 / (1 + w / 10000) + 0.3 * (max - L) / w)``
    with w = max - min (the last term 0 where w is 0); outside ``0.3 / (1 + d / 1000)`` with d the distance to the
    range; 0.5 without a readable label. With enableFiltering it stands among the filters too and leaves out ranges that
    do not hold L; endpoints without a label stay. Source: context-length-aware of llm-d.
    """

    type = "context-length-aware"
    use = "Pools of unlike servers: short prompts to the small ones, long prompts to those made for them."

    def __init__(self, parameters: ContextLengthParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self.filters = self.parameters.enable_filtering
        self._ranges = number_columns(self._range, 2)

    def _range(self, endpoint: Endpoint) -> tuple[float, ...]:
        match = _RANGE.fullmatch(endpoint.labels.get(self.parameters.label, ""))
        low, high = (float(match[1]), float(match[2])) if match else (np.nan, np.nan)
        return (low, high) if low <= high else (np.nan, np.nan)

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return how well each range fits the prompt."""
        low, high = self._ranges.of(cycle)[:, rows]
        length = cycle.prompt_tokens
        width = high - low
        headroom = np.divide(high - length, width, out=np.zeros(len(rows)), where=width > 0)
        inside = 0.3 + 0.7 * (0.7 / (1.0 + width / 10000.0) + 0.3 * headroom)
        outside = 0.3 / (1.0 + np.maximum(low - length, length - high) / 1000.0)
        scores: Floats = np.where((low <= length) & (length <= high), inside, outside)
        scores[np.isnan(low)] = 0.5
        return scores

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows whose range holds the prompt or that have none."""
        low, high = self._ranges.of(cycle)[:, rows]
        fits: Mask = ((low <= cycle.prompt_tokens) & (cycle.prompt_tokens <= high)) | np.isnan(low)
        kept: Rows = rows[fits]
        return kept
