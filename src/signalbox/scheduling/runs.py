"""How a profile is run: filters, scorers and picker in turn, over arrays of rows or, where there are few, over lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.framework import Cycle, Decision, FewFilter, FewPicker, FewScorer, Ranking, Step

if TYPE_CHECKING:
    from signalbox.scheduling.profile import Profile

_ONE_BY_ONE = 8
"""Rows up to which comparing one by one is cheaper than a set operation."""

R = TypeVar("R", Rows, list[int])
F = TypeVar("F", Floats, list[float])
Part = tuple[str, float, F]
"""A scorer's name, its weight, and its score of each candidate."""


class Run(ABC, Generic[R, F]):
    """One profile over one kind of rows."""

    def __init__(
        self,
        profile: Profile,
        keep: Sequence[Callable[[Cycle, R], R]],
        score: Sequence[Callable[[Cycle, R], F]],
        pick: Callable[[Cycle, R, F, int], R],
    ) -> None:
        """Take the methods to call of the profile's filters, scorers and picker."""
        self._profile = profile
        self._name = profile.name
        self._endpoints = profile.endpoints
        self._binding = profile.binding
        self._faults = profile.faults
        self._filters = [(plugin.name, method) for plugin, method in zip(profile.filters, keep, strict=True)]
        self._scorers = [
            (plugin.name, weight, method) for (plugin, weight), method in zip(profile.scorers, score, strict=True)
        ]
        self._summed = sorted(range(len(self._scorers)), key=lambda index: self._scorers[index][:2])
        self._picker = profile.picker.name
        self._method = pick

    def schedule(self, cycle: Cycle, rows: R) -> Decision | None:
        """Choose among ``rows``; ``None`` where a filter left none."""
        candidates = allowed = rows
        count = len(rows)
        steps = cycle.steps
        for index, (name, keep) in enumerate(self._filters):
            before = count
            try:
                candidates = keep(cycle, candidates)
            except Exception as error:
                self._faults.note(name, error)
                continue
            count = len(candidates)
            steps.append(Step(name, before, count, candidates))
            if not count:
                return None
            if index < self._binding:
                allowed = candidates
        if not count:
            return None
        totals, parts = self._score(cycle, candidates)
        chosen = self._pick(cycle, candidates, totals, self._endpoints)
        missing = self._endpoints - len(chosen)
        if missing > 0 and len(allowed) > count:
            others = self._without(allowed, candidates)
            chosen += self._pick(cycle, others, self._score(cycle, others)[0], missing)
        scores = (Ranking(self._name, candidates, totals, parts),) if parts else ()
        return Decision(tuple(chosen), tuple(steps), self._name, scores)

    def _score(self, cycle: Cycle, rows: R) -> tuple[F, list[Part[F]]]:
        count = len(rows)
        if not self._scorers:
            return self._total(count, []), []
        parts: list[Part[F] | None] = []
        for name, weight, score in self._scorers:
            try:
                parts.append((name, weight, score(cycle, rows)))
                cycle.steps.append(Step(name, count, count))
            except Exception as error:
                self._faults.note(name, error)
                parts.append(None)
        in_order = [part for index in self._summed if (part := parts[index]) is not None]
        return self._total(count, in_order), [part for part in parts if part is not None]

    def _pick(self, cycle: Cycle, rows: R, totals: F, limit: int) -> list[int]:
        try:
            picked = self._plain(self._method(cycle, rows, totals, limit))
        except Exception as error:
            self._faults.note(self._picker, error)
            picked = self._by_total(rows, totals)[:limit]
        cycle.steps.append(Step(self._picker, len(rows), len(picked)))
        return picked

    @abstractmethod
    def _total(self, count: int, parts: list[Part[F]]) -> F:
        """Return the weighted sum of ``parts`` for each of ``count`` candidates, added in order."""

    @abstractmethod
    def _without(self, rows: R, left_out: R) -> R:
        """Return ``rows`` less ``left_out``, in order."""

    @abstractmethod
    def _by_total(self, rows: R, totals: F) -> list[int]:
        """Return all rows, best first."""

    @abstractmethod
    def _plain(self, rows: R) -> list[int]:
        """Return a list."""


class ArrayRun(Run[Rows, Floats]):
    """For any number of rows and any plugins."""

    def __init__(self, profile: Profile) -> None:
        keep = [plugin.keep for plugin in profile.filters]
        super().__init__(profile, keep, [scorer.score for scorer, _ in profile.scorers], profile.picker.pick)

    def _total(self, count: int, parts: list[Part[Floats]]) -> Floats:
        totals: Floats = np.zeros(count)
        for _, weight, scores in parts:
            totals += weight * scores
        return totals

    def _without(self, rows: Rows, left_out: Rows) -> Rows:
        if len(left_out) > _ONE_BY_ONE:
            return rows[~np.isin(rows, left_out)]
        for row in left_out:
            rows = rows[rows != row]
        return rows

    def _by_total(self, rows: Rows, totals: Floats) -> list[int]:
        return self._plain(rows[np.argsort(-totals, kind="stable")])

    def _plain(self, rows: Rows) -> list[int]:
        return rows.tolist()


class ListRun(Run[list[int], list[float]]):
    """For few rows, and plugins that all work on lists."""

    def __init__(self, profile: Profile) -> None:
        keep = [cast("FewFilter", plugin).keep_few for plugin in profile.filters]
        score = [cast("FewScorer", plugin).score_few for plugin, _ in profile.scorers]
        super().__init__(profile, keep, score, cast("FewPicker", profile.picker).pick_few)

    @staticmethod
    def possible(profile: Profile) -> bool:
        """Say whether every plugin of ``profile`` works on lists."""
        return (
            all(hasattr(plugin, "keep_few") for plugin in profile.filters)
            and all(hasattr(plugin, "score_few") for plugin, _ in profile.scorers)
            and hasattr(profile.picker, "pick_few")
        )

    def _total(self, count: int, parts: list[Part[list[float]]]) -> list[float]:
        totals = [0.0] * count
        for _, weight, scores in parts:
            totals = [total + weight * score for total, score in zip(totals, scores, strict=True)]
        return totals

    def _without(self, rows: list[int], left_out: list[int]) -> list[int]:
        return [row for row in rows if row not in left_out]

    def _by_total(self, rows: list[int], totals: list[float]) -> list[int]:
        return [row for _, row in sorted(zip(totals, rows, strict=True), key=lambda pair: -pair[0])]

    def _plain(self, rows: list[int]) -> list[int]:
        return rows
