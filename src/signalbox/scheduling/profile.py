"""A profile: filters in order, weighted scorers, a picker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.framework import Cycle, Decision, Filter, Picker, Ranking, Scorer, Step

FALLBACKS = 3
"""How many endpoints an answer names unless a picker says otherwise: the choice and two fallbacks for a retry."""

_FEW = 8
"""Rows up to which comparing one by one is cheaper than a set operation."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One way to choose. A plugin that raises is left out of the decision and noted in ``faults``.

    Sums are taken in order of the scorers' names whatever their order in the file, so that rounding cannot make two
    orders of the same plugins choose differently.
    """

    filters: Sequence[Filter]
    scorers: Sequence[tuple[Scorer, float]]
    picker: Picker
    endpoints: int = FALLBACKS
    """How many endpoints an answer names: the choice and its fallbacks."""
    name: str = ""
    counted: bool = False
    """Whether the configuration says how many endpoints it wants, rather than leaving that to the default."""
    binding: int = 0
    """How many leading filters no fallback may get around. Those after them state preferences: they decide the choice,
    and a second-best server is a better retry than none."""
    faults: Faults = field(default_factory=Faults)
    _summed: tuple[int, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        order = sorted(
            range(len(self.scorers)), key=lambda index: (self.scorers[index][0].name, self.scorers[index][1])
        )
        object.__setattr__(self, "_summed", tuple(order))

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        """Choose among ``rows``; ``None`` where a filter left none.

        When fewer rows survive all filters than an answer names, the picker adds fallbacks from those that survive the
        binding ones.
        """
        candidates = allowed = rows
        steps = cycle.steps
        for index, plugin in enumerate(self.filters):
            before = len(candidates)
            try:
                candidates = plugin.keep(cycle, candidates)
            except Exception as error:
                self.faults.note(plugin.name, error)
                continue
            after = len(candidates)
            steps.append(Step(plugin.name, before, after, candidates))
            if not after:
                return None
            if index < self.binding:
                allowed = candidates
        if not len(candidates):
            return None
        totals, parts = self._score(cycle, candidates)
        chosen = self._pick(cycle, candidates, totals, self.endpoints)
        missing = self.endpoints - len(chosen)
        if missing > 0 and len(allowed) > len(candidates):
            others = _without(allowed, candidates)
            chosen += self._pick(cycle, others, self._score(cycle, others)[0], missing)
        scores = (Ranking(self.name, candidates, totals, parts),) if parts else ()
        return Decision(chosen, tuple(steps), self.name, scores)

    def _score(self, cycle: Cycle, rows: Rows) -> tuple[Floats, tuple[tuple[str, float, Floats], ...]]:
        count = len(rows)
        steps = cycle.steps
        parts: list[tuple[str, float, Floats] | None] = []
        for scorer, weight in self.scorers:
            try:
                parts.append((scorer.name, weight, scorer.score(cycle, rows)))
                steps.append(Step(scorer.name, count, count))
            except Exception as error:
                self.faults.note(scorer.name, error)
                parts.append(None)
        totals: Floats = np.zeros(count)
        for index in self._summed:
            part = parts[index]
            if part is not None:
                totals += part[1] * part[2]
        return totals, tuple([part for part in parts if part is not None])

    def _pick(self, cycle: Cycle, rows: Rows, totals: Floats, limit: int) -> tuple[int, ...]:
        try:
            picked = self.picker.pick(cycle, rows, totals, limit)
        except Exception as error:
            self.faults.note(self.picker.name, error)
            picked = rows[np.argsort(-totals, kind="stable")[:limit]]
        cycle.steps.append(Step(self.picker.name, len(rows), len(picked)))
        return tuple(picked.tolist())


def _without(rows: Rows, left_out: Rows) -> Rows:
    if len(left_out) > _FEW:
        return rows[~np.isin(rows, left_out)]
    for row in left_out:
        rows = rows[rows != row]
    return rows
