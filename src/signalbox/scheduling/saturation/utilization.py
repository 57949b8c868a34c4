"""``utilization-detector``."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import StrictFloat

from signalbox.pool import Columns, Floats, Mask, Rows
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.parameters import Bounds, Duration, NotNegative, Positive
from signalbox.scheduling.plugin import DetectorPlugin, Parameters
from signalbox.scheduling.saturation.partitions import Partitions

STALE_INTERVALS = 3
"""Scrape intervals that metrics are at least believed for. Where many endpoints are scraped the interval is stretched
beyond any fixed age; with three, one scrape may fail and the next be slow before what is known is thrown away."""


class UtilizationDetectorParameters(Parameters):
    """Parameters of utilization-detector."""

    queue_depth_threshold: Positive = 5.0
    """Waiting requests at which an endpoint is full."""
    kv_cache_util_threshold: Annotated[StrictFloat, Bounds(above=0, maximum=1)] = 0.8
    """KV usage at which an endpoint is full."""
    metrics_staleness_threshold: Annotated[Duration, Bounds(above=0)] = 0.2
    """Age from which metrics are stale: a duration like ``200ms``, which is the default (0.2 s). Metrics younger than
    three scrape intervals, as long as these are at the time, are never stale."""
    headroom: NotNegative = 0.0
    """How far beyond full an endpoint may be before it is dropped from a profile, as a fraction."""
    stale_max_concurrency: Positive = 100.0
    """Requests in flight at which an endpoint without fresh metrics is full. No counterpart in the reference."""


class UtilizationDetector(DetectorPlugin[UtilizationDetectorParameters]):
    """The pool is as full as its endpoints report.

    Formula: for each endpoint ``max(waiting / queueDepthThreshold, kv_usage / kvCacheUtilThreshold)``, on scraped
    values; the mean over the endpoints; the larger of prefill servers and others where a pool has both. An endpoint
    whose metrics are stale or missing counts ``in flight / staleMaxConcurrency``: the reference counts it as full, and
    a failed scrape then stops dispatch. Stale means older than metricsStalenessThreshold and than three scrape
    intervals, which are stretched in large pools. In a profile: keeps what is at most ``1 + headroom``, and all where
    none is. Source: utilization-detector of the Gateway API Inference Extension and llm-d.
    """

    type = "utilization-detector"
    use = "Decides when sheddable requests are refused. The default."

    def __init__(self, parameters: UtilizationDetectorParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._partitions = Partitions()

    def saturation(self, cycle: Cycle, rows: Rows) -> float:
        """Return the mean of the endpoints' values."""
        return self._partitions.fullest(cycle, rows, lambda part: float(self._each(cycle, part)[0].mean()))

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows within limits and headroom, or all."""
        value, _ = self._each(cycle, rows)
        kept: Rows = rows[value <= 1.0 + self.parameters.headroom + 1e-9]  # 1e-9: 0.96 / 0.8 is a hair over 1.2
        return kept if len(kept) else rows

    def stale(self, columns: Columns, rows: Rows, now: float) -> Mask:
        """Return which of ``rows`` have metrics that are missing or too old to count, ``now`` in seconds."""
        oldest = max(self.parameters.metrics_staleness_threshold, STALE_INTERVALS * columns.scrape_interval)
        old: Mask = now - columns.scraped_at[rows] > oldest
        return old

    def _each(self, cycle: Cycle, rows: Rows) -> tuple[Floats, Mask]:
        columns, limits = cycle.columns, self.parameters
        value: Floats = np.maximum(
            columns.waiting[rows] / limits.queue_depth_threshold,
            columns.kv_usage[rows] / limits.kv_cache_util_threshold,
        )
        stale = self.stale(columns, rows, cycle.now)
        if stale.any():
            value[stale] = columns.requests(rows[stale]) / limits.stale_max_concurrency
        return value, stale
