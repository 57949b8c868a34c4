"""``endpoint-attribute-scorer``."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import model_validator

from signalbox.pool import Floats, Rows
from signalbox.resources.strict import fault
from signalbox.scheduling.attributes import Attribute, adaptive_range, read
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Number
from signalbox.scheduling.plugin import Parameters, ScorerPlugin


class FixedRange(Parameters):
    """A range with known ends."""

    min: Number
    """The value at one end of the scale."""
    max: Number
    """The value at the other end."""

    @model_validator(mode="after")
    def _rises(self) -> FixedRange:
        if not self.min < self.max:
            raise fault(f"must be less than max, got {self.min:g} and {self.max:g}", "swap or correct them", "min")
        return self


class AdaptiveRange(Parameters):
    """The range of the candidates' own values."""


class Normalization(Parameters):
    """Where the ends of the scale come from."""

    fixed_range: FixedRange | None = None
    """Ends given as ``min`` and ``max``."""
    adaptive_range: AdaptiveRange | None = None
    """Ends taken from the candidates: the default, written as ``{}``."""

    @model_validator(mode="after")
    def _one(self) -> Normalization:
        if self.fixed_range is not None and self.adaptive_range is not None:
            raise fault("is given together with fixedRange", "keep one of the two", "adaptiveRange")
        return self


class LinearAlgorithm(Parameters):
    """How a value becomes a score."""

    type: Literal["linear_lower_is_better", "linear_higher_is_better"]
    """``linear_lower_is_better`` or ``linear_higher_is_better``."""
    normalization: Normalization = Normalization()


class EndpointAttributeParameters(Parameters):
    """Parameters of endpoint-attribute-scorer."""

    attribute_key: Attribute
    """The pool's column to read."""
    algorithm: LinearAlgorithm
    """The direction, and the ends of the scale: the candidates' own (adaptiveRange, the default) or fixedRange."""
    source: Literal["endpoint"] = "endpoint"
    """Where the value is read. Request metadata is not supported as a source."""


class EndpointAttributeScorer(ScorerPlugin[EndpointAttributeParameters]):
    """Endpoints are scored by any one number known of them.

    Formula: ``(x - min) / (max - min)``, or 1 minus that for linear_lower_is_better, clamped to 0..1; 1 where all
    candidates are equal; 0 where the endpoint has no such number yet. Source: endpoint-attribute-scorer of llm-d, whose
    attributes are metrics extracted by configuration; here they are the columns of the pool.
    """

    type = "endpoint-attribute-scorer"
    use = "A signal no other scorer reads."

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return each endpoint's place on the scale."""
        values, known = read(cycle.columns, self.parameters.attribute_key, rows)
        algorithm = self.parameters.algorithm
        fixed = algorithm.normalization.fixed_range
        low, high = (fixed.min, fixed.max) if fixed is not None else adaptive_range(values, known)
        if high == low:
            scores = np.ones(len(rows))
        else:
            scores = np.clip((values - low) / (high - low), 0.0, 1.0)
            if algorithm.type == "linear_lower_is_better":
                np.subtract(1.0, scores, out=scores)
        if known is not None:
            scores[~known] = 0.0
        return scores
