"""Prefill servers and the others fill up separately, and either can be the bottleneck."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.pool import Rows
from signalbox.scheduling.derived import mask_column
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.roles import DECODE, PREFILL, ROLE_LABEL


class Partitions:
    """Splits rows into those that only prefill and those that decode, by the label ``llm-d.ai/role``."""

    def __init__(self) -> None:
        self._prefill_only = mask_column(lambda endpoint: endpoint.labels.get(ROLE_LABEL) in PREFILL - DECODE)

    def fullest(self, cycle: Cycle, rows: Rows, saturation: Callable[[Rows], float]) -> float:
        """Return the larger saturation of the two parts that have members; 1 where there is no endpoint."""
        if not len(rows):
            return 1.0
        prefill = self._prefill_only.of(cycle)[rows]
        if not prefill.any() or prefill.all():
            return saturation(rows)
        return max(saturation(rows[prefill]), saturation(rows[~prefill]))
