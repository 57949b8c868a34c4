"""``utilization-filter``."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import model_validator

from signalbox.pool import Mask, Rows
from signalbox.resources.limits import entries
from signalbox.resources.strict import Boolean, fault
from signalbox.scheduling.attributes import COLUMN_OF, Metric, read
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import NotNegative
from signalbox.scheduling.plugin import FilterPlugin, Parameters


class Condition(Parameters):
    """The most one metric may be."""

    metric: Metric
    max_value: NotNegative

    @model_validator(mode="after")
    def _usage_is_a_fraction(self) -> Condition:
        if self.metric == "kv-cache-utilization" and self.max_value > 1:
            raise fault(f"must be at most 1, got {self.max_value:g}", "write a fraction like 0.8", "maxValue")
        return self


class UtilizationParameters(Parameters):
    """Parameters of utilization-filter."""

    conditions: Annotated[tuple[Condition, ...], entries(1, 16, "condition")]
    """Caps, all of which an endpoint must keep: each a ``metric`` (active-requests, running-requests, waiting-queue or
    kv-cache-utilization) and its ``maxValue``."""
    fallback_on_empty: Boolean = False
    """Keep all where none keeps the caps."""
    in_flight_load_producer_name: str = ""
    """The inflight-load-producer to read. There is one account of what is in flight, which every name means."""


class UtilizationFilter(FilterPlugin[UtilizationParameters]):
    """Keep endpoints under caps.

    Keeps x where ``x <= maxValue`` for every condition, on scraped values (active-requests: our own count, less what
    the server has not shown for a while). An endpoint that was never scraped reads 0. Source: utilization-filter of
    llm-d.
    """

    type = "utilization-filter"
    use = "Servers that must not be driven past a known point."

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows under all caps."""
        under: Mask = np.ones(len(rows), bool)
        for condition in self.parameters.conditions:
            values, _ = read(cycle.columns, COLUMN_OF[condition.metric], rows)
            under &= values <= condition.max_value
        kept: Rows = rows[under]
        return rows if self.parameters.fallback_on_empty and not len(kept) else kept
