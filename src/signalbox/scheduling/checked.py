"""Plugins of other packages, with what they return checked. Our own are held to it by tests instead.

Arrays that outlive the call are handed over as views that cannot be written to: a plugin that tries is at fault, and
nothing is spoilt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle, Decision, Filter, Picker, Ranking, Scorer, Step
from signalbox.scheduling.headers import check_headers
from signalbox.scheduling.plugin import DetectorPlugin, HandlerPlugin
from signalbox.scheduling.profile import Profile


class CheckedFilter:
    """A filter whose result must be a part of what it was given."""

    def __init__(self, plugin: Filter) -> None:
        self.plugin = plugin
        self.name = plugin.name

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Raises ValueError for rows that were not there, or twice."""
        return _part(self.name, self.plugin.keep(cycle, _to_read(rows)), rows)


class CheckedScorer:
    """A scorer whose result must be one number for each row; it is brought into 0..1."""

    def __init__(self, plugin: Scorer) -> None:
        self.plugin = plugin
        self.name = plugin.name

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Raises ValueError for another shape or for nan."""
        scores: Floats = np.asarray(self.plugin.score(cycle, _to_read(rows)), np.float64)
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
        picked = _part(self.name, self.plugin.pick(cycle, _to_read(rows), _to_read(scores), limit), rows)
        if not 0 < len(picked) <= limit:
            raise ValueError(f"{self.name} returned {len(picked)} rows, where 1 to {limit} were asked for")
        return picked


class CheckedHandler(HandlerPlugin[Any]):
    """A handler whose decision must name some of the rows it was given, and headers that can be sent."""

    def __init__(self, plugin: HandlerPlugin[Any]) -> None:
        super().__init__(plugin.parameters, plugin.name)
        self.plugin = plugin

    def primary(self, profiles: Mapping[str, Profile]) -> str:
        """Return what the plugin does."""
        return self.plugin.primary(profiles)

    def schedule(self, cycle: Cycle, rows: Rows, profiles: Mapping[str, Profile]) -> Decision | None:
        """Raises TypeError for what is no decision, ValueError for one that cannot be carried out."""
        decision: Any = self.plugin.schedule(cycle, _to_read(rows), profiles)
        if decision is None:
            return None
        if not isinstance(decision, Decision):
            raise TypeError(f"{self.name} returned a {type(decision).__name__}, where a Decision was asked for")
        steps, scores = tuple(decision.steps), tuple(decision.scores)
        if not all(isinstance(step, Step) for step in steps) or not all(isinstance(part, Ranking) for part in scores):
            raise TypeError(f"{self.name} returned a Decision whose steps are no Steps or whose scores no Rankings")
        known = set(rows.tolist())
        chosen = _choice(self.name, decision.rows, known)
        stages = {str(name): _choice(self.name, part, known) for name, part in decision.stages.items() if len(part)}
        check_headers(self.name, decision.headers)
        check_headers(self.name, decision.response_headers)
        return msgspec.structs.replace(decision, rows=chosen, stages=stages, steps=steps, scores=scores)


class CheckedDetector(DetectorPlugin[Any]):
    """A detector whose result must be a number that is not negative."""

    def __init__(self, plugin: DetectorPlugin[Any]) -> None:
        super().__init__(plugin.parameters, plugin.name)
        self.plugin = plugin

    def saturation(self, cycle: Cycle, rows: Rows) -> float:
        """Raises TypeError for what is no number, ValueError for one that is negative, infinite or nan."""
        value = self.plugin.saturation(cycle, _to_read(rows))
        if not isinstance(value, int | float | np.number):
            raise TypeError(f"{self.name} returned a {type(value).__name__}, where a number was asked for")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{self.name} returned {value:g}, which says nothing about how full the pool is")
        return float(value)

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Raises ValueError for rows that were not there, or twice."""
        return _part(self.name, self.plugin.keep(cycle, _to_read(rows)), rows)


def check_reason(name: str, why: Any) -> str | None:
    """Return why an admitter refuses, or ``None``. Raises TypeError for what is neither, ValueError for no words."""
    if why is None:
        return None
    if not isinstance(why, str):
        raise TypeError(f"{name} returned a {type(why).__name__}, where a reason or None was asked for")
    if not why.strip():
        raise ValueError(f"{name} refused without a reason")
    return why


def check_fairness_id(name: str, found: Any) -> str:
    """Return the fairness id that an identity plugin found. Raises TypeError for what is no text."""
    if not isinstance(found, str):
        raise TypeError(f"{name} returned a {type(found).__name__}, where a fairness id was asked for")
    return found


def _to_read(array: Any) -> Any:
    view = array.view()
    view.setflags(write=False)
    return view


def _choice(name: str, rows: Any, known: set[int]) -> tuple[int, ...]:
    chosen = tuple([int(row) for row in rows])
    if not chosen or len(set(chosen)) != len(chosen) or not known.issuperset(chosen):
        raise ValueError(f"{name} chose the rows {chosen}, which are not a part of the {len(known)} it was given")
    return chosen


def _part(name: str, result: Rows, rows: Rows) -> Rows:
    result = np.asarray(result, np.intp)
    if result.ndim != 1 or len(np.unique(result)) != len(result) or not np.isin(result, rows).all():
        raise ValueError(f"{name} returned rows that are not a part of the {len(rows)} it was given")
    return result
