"""What the peers' policies have in common: each names one row, and sees the same pool through the same director."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from signalbox.admission import SaturationGate
from signalbox.director import Rules
from signalbox.lab.stage import Contender, Stage, TracePrefixes
from signalbox.pool import Endpoint, Floats, Rows
from signalbox.scheduling import Cycle, Decision
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters
from signalbox.scheduling.saturation.utilization import UtilizationDetector


class Peer(ABC):
    """A policy that chooses one endpoint, without fallbacks."""

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        """Choose among ``rows``."""
        return Decision((self.choose(cycle, rows),), ())

    @abstractmethod
    def choose(self, cycle: Cycle, rows: Rows) -> int:
        """Return one of ``rows``, which are not empty."""

    def left(self, endpoint: Endpoint) -> None:
        """An endpoint has left: forget it, its row will be another's."""
        del endpoint


class RowTable:
    """One number for each row, 0 until it is set; grows with the rows asked for."""

    def __init__(self) -> None:
        self._values: Floats = np.zeros(8)

    def of(self, rows: Rows) -> Floats:
        """Return the numbers of ``rows``."""
        self._fit(int(rows.max()) + 1)
        return self._values[rows]

    def put(self, row: int, value: float) -> None:
        """Set the number of ``row``."""
        self._fit(row + 1)
        self._values[row] = value

    def add(self, row: int, value: float) -> None:
        """Add to the number of ``row``."""
        self._fit(row + 1)
        self._values[row] += value

    def _fit(self, size: int) -> None:
        if len(self._values) < size:
            self._values = np.concatenate([self._values, np.zeros(size)])


def any_of(cycle: Cycle, rows: Rows | Sequence[int]) -> int:
    """Return one of ``rows`` by chance."""
    return int(rows[cycle.rng.randrange(len(rows))])


def lowest(cycle: Cycle, rows: Rows, cost: Floats) -> int:
    """Return the row of least ``cost``; among equals by chance."""
    return any_of(cycle, rows[cost <= cost.min()])


def contender(
    name: str,
    make: Callable[[Stage], Peer],
    prefixes: Callable[[Stage, PrefixIndexParameters], TracePrefixes] | None = None,
) -> Contender:
    """A peer ready for replay. ``prefixes`` builds what it knows of the servers' caches; ``None`` for a peer that does
    not ask. Sheddable requests are refused for all of them alike, as llm-d's default detector says: the contest is
    about where requests go."""

    def rules(stage: Stage) -> Rules:
        peer, detector = make(stage), UtilizationDetector()
        return Rules(
            scheduler=peer,
            gate=SaturationGate(detector.name, detector.saturation),
            prefix=None if prefixes is None else prefixes(stage, PrefixIndexParameters()),
            configured=True,
            left=peer.left,
        )

    return Contender(name, rules)
