"""The shape of a scheduling policy: filters narrow the candidates, scorers rank them, a picker orders the best.

Candidates are an array of row numbers rather than a mask over all rows: after the first filter few rows are left, and
every later step then costs by what is left. A plugin reads the pool's columns and the request and returns a value; it
holds no clock and no socket.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from signalbox.pool import Columns, Floats, Rows


class Step(msgspec.Struct, frozen=True):
    """One thing a policy did: which plugin, over how many candidates, leaving how many."""

    plugin: str
    before: int
    after: int


class Cycle(msgspec.Struct):
    """One decision in the making: the request's side of it and everything a plugin may look at."""

    target: str
    """The model or adapter name the server will see."""
    priority: int
    columns: Columns
    rng: random.Random
    steps: list[Step] = []


class Filter(Protocol):
    """Narrows the candidates."""

    @property
    def name(self) -> str:
        """The plugin's type name."""

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows to go on with, in the order given; an empty result means that none qualifies."""


class Scorer(Protocol):
    """Ranks the candidates."""

    @property
    def name(self) -> str:
        """The plugin's type name."""

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return one score for each row, 0 (worst) to 1 (best)."""


class Picker(Protocol):
    """Chooses among the candidates."""

    @property
    def name(self) -> str:
        """The plugin's type name."""

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Return up to ``limit`` distinct rows, best first. ``rows`` is not empty."""


class Decision(msgspec.Struct, frozen=True):
    """The chosen rows, first choice first and then the fallbacks, and how they came about."""

    rows: tuple[int, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A policy: filters in order, weighted scorers, a picker, and how many fallbacks to name."""

    filters: Sequence[Filter]
    scorers: Sequence[tuple[Scorer, float]]
    picker: Picker
    endpoints: int = 3
    """How many endpoints an answer names: the choice and its fallbacks."""

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        """Choose among ``rows``; ``None`` where a filter left none.

        When fewer rows survive the filters than an answer names, the picker adds fallbacks from the other candidates:
        a second-best server is a better retry than none.
        """
        candidates = rows
        for plugin in self.filters:
            before = len(candidates)
            candidates = plugin.keep(cycle, candidates)
            cycle.steps.append(Step(plugin.name, before, len(candidates)))
            if not len(candidates):
                return None
        chosen = self._pick(cycle, candidates, self.endpoints)
        missing = self.endpoints - len(chosen)
        if missing > 0 and len(rows) > len(chosen):
            others = rows[rows != chosen[0]]
            for row in chosen[1:]:
                others = others[others != row]
            chosen += self._pick(cycle, others, missing)
        return Decision(chosen, tuple(cycle.steps))

    def _pick(self, cycle: Cycle, rows: Rows, limit: int) -> tuple[int, ...]:
        total: Floats = np.zeros(len(rows))
        for scorer, weight in self.scorers:
            total += weight * scorer.score(cycle, rows)
        picked = self.picker.pick(cycle, rows, total, limit)
        cycle.steps.append(Step(self.picker.name, len(rows), len(picked)))
        return tuple(picked.tolist())
