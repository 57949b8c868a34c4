"""How a profile is run: filters, scorers and picker in turn, over arrays of rows or, where those are few, lists."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from operator import neg
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import numpy as np

from signalbox.pool import Floats, Rows, few
from signalbox.scheduling.framework import (
    Cycle,
    Decision,
    FewFilter,
    FewPicker,
    FewScorer,
    Filter,
    Picker,
    Ranking,
    Scorer,
    Step,
)

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
        self._preferences = profile.preferences
        self._faults = profile.faults
        self._filters: list[tuple[str, Callable[[Cycle, R], R], bool]] = [
            (plugin.name, method, place < self._binding)
            for place, (plugin, method) in enumerate(zip(profile.filters, keep, strict=True))
        ]
        """Each with whether no fallback may get around it."""
        self._scorers: list[tuple[str, float, Callable[[Cycle, R], F]]] = [
            (plugin.name, weight, method) for (plugin, weight), method in zip(profile.scorers, score, strict=True)
        ]
        self._summed = sorted(range(len(self._scorers)), key=lambda index: self._scorers[index][:2])
        self._scored: dict[int, list[Step]] = {}  # of scorers that do not raise, by the number of candidates
        self._picker = profile.picker.name
        self._method: Callable[[Cycle, R, F, int], R] = pick

    def schedule(self, cycle: Cycle, rows: R) -> Decision | None:
        """Choose among ``rows``; ``None`` where a filter left none that is no preference."""
        candidates = allowed = rows
        count = len(rows)
        steps = cycle.steps
        begun = len(steps)
        index = -1
        for name, keep, binding in self._filters:
            index += 1
            before = count
            try:
                kept = keep(cycle, candidates)
            except Exception as error:
                steps.append(Step(name, before, before, None, self._faults.note(name, error)))
                continue
            count = len(kept)
            steps.append(Step(name, before, count, kept))
            if count:
                candidates = kept
            elif index in self._preferences:
                count = before
            else:
                candidates = self._again(cycle, rows, index, begun)
                count = len(candidates)
                if not count:
                    steps[-1].ends, steps[-1].begun = self._name, begun
                    return None
            if binding:
                allowed = candidates
        if not count:
            return None
        name, wanted = self._name, self._endpoints
        if self._scorers:
            totals, parts = self._score(cycle, candidates)
            scores: tuple[Ranking, ...] = (Ranking(name, candidates, totals, parts),) if parts else ()
        else:
            totals, scores = self._zeros(count), ()
        chosen = self._pick(cycle, candidates, totals, wanted, begun)
        missing = wanted - len(chosen)
        if missing > 0 and len(allowed) > count:
            others = self._without(allowed, candidates)
            totals = self._score(cycle, others)[0] if self._scorers else self._zeros(len(others))
            chosen = chosen + self._pick(cycle, others, totals, missing, begun)
        return Decision(tuple(chosen), tuple(steps), name, scores)

    def _again(self, cycle: Cycle, rows: R, last: int, begun: int) -> R:
        """Begin again with ``rows``, since the binding filter at ``last`` left none of those that preferences before
        it had: binding filters up to it first, then these preferences, all in order. Empty where the binding filters
        alone leave nobody."""
        steps = cycle.steps
        preferences = [self._filters[index] for index in sorted(self._preferences) if index < last]
        names = {name for name, *_ in preferences}
        narrowing = [step.plugin for step in steps[begun:] if step.plugin in names and 0 < step.after < step.before]
        if not narrowing:
            return rows[:0]
        told = f"{self._filters[last][0]} leaves nobody that {' and '.join(narrowing)} kept: begins again"
        steps.append(Step(told, 0, len(rows), rows))
        binding = [self._filters[index] for index in range(last + 1) if index not in self._preferences]
        candidates = rows
        for place, (name, keep, _) in enumerate(binding + preferences):
            before = len(candidates)
            try:
                kept = keep(cycle, candidates)
            except Exception as error:
                steps.append(Step(name, before, before, None, self._faults.note(name, error)))
                continue
            steps.append(Step(name, before, len(kept), kept))
            if len(kept) or place < len(binding):
                candidates = kept
            if not len(candidates):
                break
        return candidates

    def _score(self, cycle: Cycle, rows: R) -> tuple[F, list[Part[F]]]:
        count = len(rows)
        parts: list[Part[F]] = []
        try:
            for name, weight, score in self._scorers:
                parts.append((name, weight, score(cycle, rows)))
        except Exception as error:
            return self._score_others(cycle, rows, parts, error)
        steps = self._scored.get(count)
        if steps is None:
            steps = self._scored[count] = [Step(name, count, count) for name, *_ in self._scorers]
        cycle.steps += steps
        return self._total(count, [parts[index] for index in self._summed]), parts

    def _score_others(self, cycle: Cycle, rows: R, before: list[Part[F]], error: Exception) -> tuple[F, list[Part[F]]]:
        """Go on behind a scorer that raised, and leave it out."""
        count = len(rows)
        parts: list[Part[F] | None] = []
        for index, (name, weight, score) in enumerate(self._scorers):
            fault = ""
            try:
                if index == len(before):
                    raise error
                parts.append(before[index] if index < len(before) else (name, weight, score(cycle, rows)))
            except Exception as raised:
                fault = self._faults.note(name, raised)
                parts.append(None)
            cycle.steps.append(Step(name, count, count, None, fault))
        in_order = [part for index in self._summed if (part := parts[index]) is not None]
        return self._total(count, in_order), [part for part in parts if part is not None]

    def _pick(self, cycle: Cycle, rows: R, totals: F, limit: int, begun: int) -> list[int]:
        fault = ""
        try:
            picked = self._method(cycle, rows, totals, limit)
            chosen: list[int] = picked if isinstance(picked, list) else picked.tolist()
        except Exception as error:
            fault = self._faults.note(self._picker, error)
            chosen = self._by_total(cycle, rows, totals)[:limit]
        cycle.steps.append(Step(self._picker, len(rows), len(chosen), None, fault, self._name, begun))
        return chosen

    @abstractmethod
    def _zeros(self, count: int) -> F:
        """Return the sums of ``count`` candidates that nobody scores."""

    @abstractmethod
    def _total(self, count: int, parts: list[Part[F]]) -> F:
        """Return the weighted sum of ``parts`` for each of ``count`` candidates, added in order."""

    @abstractmethod
    def _without(self, rows: R, left_out: R) -> R:
        """Return ``rows`` less ``left_out``, in order."""

    @abstractmethod
    def _by_total(self, cycle: Cycle, rows: R, totals: F) -> list[int]:
        """Return all rows, best first; of equal ones those with the fewest requests in flight."""


class ArrayRun(Run[Rows, Floats]):
    """For any number of rows and any plugins."""

    def __init__(self, profile: Profile) -> None:
        keep = [plugin.keep for plugin in profile.filters]
        super().__init__(profile, keep, [scorer.score for scorer, _ in profile.scorers], profile.picker.pick)

    def _zeros(self, count: int) -> Floats:
        return np.zeros(count)

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

    def _by_total(self, cycle: Cycle, rows: Rows, totals: Floats) -> list[int]:
        ranked: list[int] = rows[np.lexsort((cycle.columns.requests(rows), -totals))].tolist()
        return ranked


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
            all(_has_twin(plugin, "keep") for plugin in profile.filters)
            and all(_has_twin(plugin, "score") for plugin, _ in profile.scorers)
            and _has_twin(profile.picker, "pick")
        )

    def _zeros(self, count: int) -> list[float]:
        return [0.0] * count

    def _total(self, count: int, parts: list[Part[list[float]]]) -> list[float]:
        if not parts:
            return [0.0] * count
        (_, weight, scores), *others = parts
        if len(others) == 2:  # as in the default profile: the same sums in one go
            return _three(weight, scores, *others[0][1:], *others[1][1:])
        totals = [weight * score for score in scores]
        for _, weight, scores in others:
            totals = [total + weight * score for total, score in zip(totals, scores, strict=True)]
        return totals

    def _without(self, rows: list[int], left_out: list[int]) -> list[int]:
        others = rows.copy()
        for row in left_out:
            others.remove(row)
        return others

    def _by_total(self, cycle: Cycle, rows: list[int], totals: list[float]) -> list[int]:
        ranked = zip(map(neg, totals), few.requests(cycle.columns, rows), rows, strict=True)
        return [row for *_, row in sorted(ranked)]


def _three(
    first: float, of_first: list[float], second: float, of_second: list[float], third: float, of_third: list[float]
) -> list[float]:
    """Return the weighted sums of three lists of the same length."""
    return [first * a + second * b + third * c for a, b, c in zip(of_first, of_second, of_third)]  # noqa: B905


def _has_twin(plugin: Filter | Scorer | Picker, method: str) -> bool:
    """Say whether what works on lists is as new as ``method``: a subclass may have replaced that alone."""
    for kind in type(plugin).__mro__:
        if f"{method}_few" in vars(kind):
            return True
        if method in vars(kind):
            return False
    return False
