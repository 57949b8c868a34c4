"""How much load a policy bears: replays at rising speeds, then closer and closer to where it breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from signalbox.lab.outcome import Outcome
from signalbox.lab.slo import Slo


@dataclass(frozen=True, slots=True)
class Rung:
    """One speed that was tried."""

    speed: float
    rate: float
    """Requests a second."""
    outcome: Outcome
    held: bool
    """Whether the SLO was kept."""


@dataclass(slots=True)
class Ladder:
    """What was tried for one policy, and what is worth trying next. Speeds are factors of the workload's own."""

    policy: str
    slo: Slo
    rate: float
    """Requests a second of the workload at speed 1."""
    rungs: list[Rung] = field(default_factory=list)

    def tried(self, speed: float, outcome: Outcome) -> None:
        """Note what came of a speed."""
        self.rungs.append(Rung(speed, speed * self.rate, outcome, self.slo.held(outcome)))
        self.rungs.sort(key=lambda rung: rung.speed)

    @property
    def best(self) -> Rung | None:
        """The highest rung below the first that broke; ``None`` where even the lowest did."""
        best: Rung | None = None
        for rung in self.rungs:
            if not rung.held:
                return best
            best = rung
        return best

    @property
    def broken(self) -> Rung | None:
        """The lowest rung that did not hold."""
        return next((rung for rung in self.rungs if not rung.held), None)

    def between(self) -> float | None:
        """A speed halfway between the best rung and the one that broke; ``None`` where there is none of either."""
        best, broken = self.best, self.broken
        return None if best is None or broken is None else (best.speed + broken.speed) / 2


Attempt = tuple[Ladder, float]
Try = Callable[[Sequence[Attempt]], None]
"""Replays each attempt and notes its outcome with `Ladder.tried`."""


def climb(ladders: Sequence[Ladder], speeds: Sequence[float], rounds: int, attempt: Try) -> None:
    """Try every speed for every policy, then halve the gap in which each one breaks, ``rounds`` times."""
    attempt([(ladder, speed) for ladder in ladders for speed in speeds])
    for _ in range(rounds):
        nearer = [(ladder, speed) for ladder in ladders if (speed := ladder.between()) is not None]
        if not nearer:
            return
        attempt(nearer)
