"""``endpoint-attribute-filter``."""

from __future__ import annotations

import operator
from typing import Literal

from signalbox.pool import Mask, Rows
from signalbox.resources.strict import Boolean
from signalbox.scheduling.attributes import Attribute, read
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Number
from signalbox.scheduling.plugin import FilterPlugin, Parameters

_OPERATORS = {
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "Equal": operator.eq,
    "NotEqual": operator.ne,
}


class Threshold(Parameters):
    """What an attribute is compared with."""

    operator: Literal["LessThan", "LessThanOrEqual", "GreaterThan", "GreaterThanOrEqual", "Equal", "NotEqual"]
    """LessThan, LessThanOrEqual, GreaterThan, GreaterThanOrEqual, Equal or NotEqual."""
    value: Number
    """What the attribute is compared with."""


class ThresholdAlgorithm(Parameters):
    """How an attribute decides."""

    type: Literal["threshold"]
    """``threshold``."""
    threshold: Threshold


class EndpointAttributeFilterParameters(Parameters):
    """Parameters of endpoint-attribute-filter."""

    attribute: Attribute
    """The pool's column to read."""
    algorithm: ThresholdAlgorithm
    """A threshold: an operator and a value."""
    on_missing: Literal["Pass", "Fail"] = "Fail"
    """Whether an endpoint stays that has no such number yet."""
    fallback_on_empty: Boolean = False
    """Keep all where none passes."""


class EndpointAttributeFilter(FilterPlugin[EndpointAttributeFilterParameters]):
    """Keep endpoints by a threshold on any one number known of them.

    Keeps x where ``x OPERATOR value``. Source: endpoint-attribute-filter of llm-d, whose attributes are metrics
    extracted by configuration; here they are the columns of the pool.
    """

    type = "endpoint-attribute-filter"
    use = "A signal no other filter reads."

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows that pass."""
        settings = self.parameters
        values, known = read(cycle.columns, settings.attribute, rows)
        threshold = settings.algorithm.threshold
        passes: Mask = _OPERATORS[threshold.operator](values, threshold.value)
        if known is not None:
            passes = (passes & known) if settings.on_missing == "Fail" else (passes | ~known)
        kept: Rows = rows[passes]
        return rows if settings.fallback_on_empty and not len(kept) else kept
