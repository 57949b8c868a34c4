"""Plugins of other packages, with what they return checked. Our own are held to it by tests instead."""

from __future__ import annotations

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle, Filter, Picker, Scorer


class CheckedFilter:
    """A filter whose result must be a part of what it was given."""

    def __init__(self, plugin: Filter) -> None:
        self.plugin = plugin
        self.name = plugin.name

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Raises ValueError for rows that were not there, or twice."""
        return _part(self.name, self.plugin.keep(cycle, rows), rows)


class CheckedScorer:
    """A scorer whose result must be one number for each row; it is brought into 0..1."""

    def __init__(self, plugin: Scorer) -> None:
        self.plugin = plugin
        self.name = plugin.name

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Raises ValueError for another shape or for nan."""
        scores: Floats = np.asarray(self.plugin.score(cycle, rows), np.float64)
        if scores.shape != rows.shape:
            raise ValueError(f"{self.name} returned shape {scores.shape} for {len(rows)} rows")
        if np.isnan(scores).any():
            raise ValueError(f"{self.name} returned a score that is not a number")
        return np.clip(scores, 0.0, 1.0)


class CheckedPicker:
    """A picker whose result must be some of what it was given."""

    def __init__(self, plugin: Picker) -> None:
        self.plugin = plugin
        self.name = plugin.name

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Raises ValueError for rows that were not there, for none, and for more than ``limit``."""
        picked = _part(self.name, self.plugin.pick(cycle, rows, scores, limit), rows)
        if not 0 < len(picked) <= limit:
            raise ValueError(f"{self.name} returned {len(picked)} rows, where 1 to {limit} were asked for")
        return picked


def _part(name: str, result: Rows, rows: Rows) -> Rows:
    result = np.asarray(result, np.intp)
    if result.ndim != 1 or len(np.unique(result)) != len(result) or not np.isin(result, rows).all():
        raise ValueError(f"{name} returned rows that are not a part of the {len(rows)} it was given")
    return result
