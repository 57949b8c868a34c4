"""A profile: filters in order, weighted scorers, a picker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from signalbox.pool import Rows
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.framework import FEW, Cycle, Decision, Filter, Picker, Scorer
from signalbox.scheduling.runs import ArrayRun, ListRun

FALLBACKS = 3
"""How many endpoints an answer names unless a picker says otherwise: the choice and two fallbacks for a retry."""


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
    preferences: frozenset[int] = frozenset()
    """The places of filters that only state a preference, counted from 0. Where one that does not would be left with
    nobody, it is asked before them."""
    faults: Faults = field(default_factory=Faults)
    _arrays: ArrayRun = field(init=False, repr=False, compare=False)
    _lists: ListRun | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_arrays", ArrayRun(self))
        if ListRun.possible(self):
            object.__setattr__(self, "_lists", ListRun(self))

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        """Choose among ``rows``; ``None`` where the filters that state no preference leave none.

        When fewer rows survive all filters than an answer names, the picker adds fallbacks from those that survive the
        binding ones.
        """
        if self._lists is not None and cycle.columns.size <= FEW:
            return self._lists.schedule(cycle, rows.tolist())
        return self._arrays.schedule(cycle, rows)
