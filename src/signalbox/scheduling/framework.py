"""The shape of a scheduling policy: filters narrow the candidates, scorers rank them, a picker orders the best.

Candidates are an array of row numbers rather than a mask over all rows: after the first filter few rows are left, and
every later step then costs by what is left. A plugin reads the pool's columns and the request and returns a value; it
holds no clock and no socket.

Over a handful of rows a numpy call costs more than what it computes. So a plugin may have a twin of its method that
takes and returns lists: ``keep_few``, ``score_few``, ``pick_few``. Both give the same result, to the bit. A profile in
which all plugins have one runs over lists wherever the pool is small. What plugins of other packages return is checked,
and those checks take arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np

from signalbox.pool import Floats, Rows
from signalbox.scheduling.cycle import Cycle
from signalbox.scheduling.step import Step

__all__ = [
    "FEW",
    "Cycle",
    "Decision",
    "FewFilter",
    "FewPicker",
    "FewScorer",
    "Filter",
    "Picker",
    "Ranking",
    "Scorer",
    "Step",
]

FEW = 16
"""Rows in a small pool's columns. Twice as many cost more as lists than as arrays; see docs/performance.md."""


class Filter(Protocol):
    """Narrows the candidates."""

    @property
    def name(self) -> str:
        """The name it has in the configuration; its type where it was given none."""

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the rows to go on with, in the order given; an empty result means that none qualifies."""


class Scorer(Protocol):
    """Ranks the candidates."""

    @property
    def name(self) -> str:
        """The name it has in the configuration; its type where it was given none."""

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return one score for each row, 0 (worst) to 1 (best)."""


class Picker(Protocol):
    """Chooses among the candidates."""

    @property
    def name(self) -> str:
        """The name it has in the configuration; its type where it was given none."""

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Return up to ``limit`` distinct rows, best first. ``rows`` is not empty."""


class FewFilter(Filter, Protocol):
    """A filter that also works on lists."""

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return what ``keep`` does; perhaps ``rows`` itself, which nobody changes."""


class FewScorer(Scorer, Protocol):
    """A scorer that also works on lists."""

    def score_few(self, cycle: Cycle, rows: list[int]) -> list[float]:
        """Return what ``score`` does."""


class FewPicker(Picker, Protocol):
    """A picker that also works on lists."""

    def pick_few(self, cycle: Cycle, rows: list[int], scores: list[float], limit: int) -> list[int]:
        """Return what ``pick`` does, after the same draws."""


class Ranking:
    """What the scorers of one profile said. The arrays are the plugins' own: read them, do not write."""

    __slots__ = ("_parts", "_rows", "_totals", "profile")

    def __init__(
        self,
        profile: str,
        rows: Rows | list[int],
        totals: Floats | list[float],
        parts: Sequence[tuple[str, float, Floats | list[float]]],
    ) -> None:
        self.profile = profile
        self._rows = rows
        self._totals = totals
        self._parts = parts

    @property
    def rows(self) -> Rows:
        """The candidates that were scored."""
        if isinstance(self._rows, list):
            self._rows = np.array(self._rows, np.intp)
        return self._rows

    @property
    def totals(self) -> Floats:
        """Their weighted sums."""
        if isinstance(self._totals, list):
            self._totals = np.array(self._totals)
        return self._totals

    @property
    def parts(self) -> tuple[tuple[str, float, Floats], ...]:
        """For each scorer in order: its name, its weight, and its score of each candidate, 0 to 1."""
        return tuple((name, weight, np.asarray(scores)) for name, weight, scores in self._parts)


class Decision(msgspec.Struct, frozen=True):
    """The chosen rows, first choice first and then the fallbacks, and how they came about."""

    rows: tuple[int, ...]
    steps: tuple[Step, ...]
    profile: str = ""
    """The profile that chose ``rows``."""
    scores: tuple[Ranking, ...] = ()
    """One for each profile that ran and has scorers."""
    headers: Mapping[str, str] = {}
    """Headers the gateway sets on the request."""
    response_headers: Mapping[str, str] = {}
    """Headers the gateway sets on the answer."""
    stages: Mapping[str, tuple[int, ...]] = {}
    """What the other profiles of a disaggregated request chose, by profile name: every endpoint that takes part."""
    promptless: frozenset[str] = frozenset()
    """Those of these profiles whose endpoints do not compute the prompt, such as encode."""
