"""``program-aware-fairness-policy``, also by the name ``program-aware-fairness``."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import StrictFloat

from signalbox.scheduling.fairness.service import AttainedService
from signalbox.scheduling.parameters import Bounds, NotNegative, Positive
from signalbox.scheduling.plugin import Parameters, Plugin
from signalbox.scheduling.queueing import FairnessPlugin, Flow, Rota, Turn
from signalbox.scheduling.ranked import Rank, Ranked

ANSWER_WEIGHT = 2
"""How much more an answer's token counts than a prompt's."""
CLASSES = 4
"""Classes of service for every doubling of it: within one, service differs by less than a fifth."""
NOTHING = -(2**62)
"""The class of those who have had nothing."""


class ProgramAwareParameters(Parameters):
    """Parameters of program-aware-fairness-policy."""

    strategy: Literal["las"] = "las"
    """Least attained service."""
    las_weight_service: NotNegative = 0.8
    """Weight of having had little service."""
    las_weight_head_wait: NotNegative = 0.2
    """Weight of having waited long."""
    las_half_life_seconds: NotNegative = 60.0
    """Seconds after which service counts half; 0 to fade by lasDecayFactor."""
    las_decay_factor: Annotated[StrictFloat, Bounds(above=0, maximum=1)] = 0.99997
    """What is left of the service after a second, where lasHalfLifeSeconds is 0."""
    eviction_ttl_seconds: NotNegative = 3600.0
    """Seconds after which a flow that has not been served is forgotten; 0 for never. At most 100,000 flows are known
    whatever it says."""
    eviction_sweep_seconds: Positive = 300.0
    """How often those are looked for."""


class LeastServiceRota(Rota):
    """Flows by classes of service, in each by how long their first has waited."""

    def __init__(self, parameters: ProgramAwareParameters, service: AttainedService) -> None:
        self._service_weight = parameters.las_weight_service
        self._wait_weight = parameters.las_weight_head_wait
        self._service = service
        self._classes: dict[int, Ranked[str]] = {}
        self._class_of: dict[str, int] = {}
        self._youngest: Ranked[str] = Ranked()

    @property
    def steps(self) -> int:
        """Entries looked at so far in the classes there are."""
        return self._youngest.steps + sum(members.steps for members in self._classes.values())

    def head(self, flow: str, turn: Turn, rank: Rank) -> None:
        """Put the flow among those with as much service."""
        arrival = (turn.arrived, rank[1])
        self._youngest.put(flow, (-turn.arrived, -rank[1]))
        self._put(flow, arrival)

    def left(self, flow: str) -> None:
        """Forget the flow."""
        self._youngest.discard(flow)
        self._leave_class(flow)

    def took(self, flow: str, now: float) -> None:
        """Note how long its first has waited."""
        self._service.waited(flow, now + self._youngest.rank(flow)[0], now)

    def charged(self, flow: str, now: float) -> None:
        """Put a flow that waits among those with as much service as it has now."""
        if flow in self._class_of:
            arrived, number = self._youngest.rank(flow)
            self._put(flow, (-arrived, -number))

    def pick(self, now: float) -> str:
        """Return the flow with the highest score. Raises LookupError where nobody waits."""
        first = self._firsts()
        youngest = self._youngest.first()
        if youngest is None:
            raise LookupError("nobody waits")
        latest = -self._youngest.rank(youngest)[0]
        earliest = min(arrived for _, _, (arrived, _) in first)
        most, least = max(first)[0], min(first)[0]
        floor = _share(least, most)
        return max(
            (
                self._service_weight * (1 - _within(_share(number, most), floor, 1.0))
                + self._wait_weight * _within(latest - arrived, 0.0, latest - earliest),
                (-arrived, -order),
                flow,
            )
            for number, flow, (arrived, order) in first
        )[2]

    def _firsts(self) -> list[tuple[int, str, Rank]]:
        found = []
        for number, members in self._classes.items():
            flow = members.first()
            assert flow is not None
            found.append((number, flow, members.rank(flow)))
        return found

    def _put(self, flow: str, arrival: Rank) -> None:
        level = self._service.level(flow)
        number = NOTHING if level == -math.inf else math.floor(level * CLASSES)
        if self._class_of.get(flow, number) != number:
            self._leave_class(flow)
        self._class_of[flow] = number
        self._classes.setdefault(number, Ranked()).put(flow, arrival)

    def _leave_class(self, flow: str) -> None:
        number = self._class_of.pop(flow, None)
        if number is None:
            return
        members = self._classes[number]
        members.discard(flow)
        if not len(members):
            del self._classes[number]


class ProgramAware(FairnessPlugin[ProgramAwareParameters]):
    """Whoever has had the least service goes first, and waiting helps.

    Formula: the flow with the largest ``lasWeightService * (1 - s) + lasWeightHeadWait * w``, where ``s`` is the
    service it has had and ``w`` how long its first request has waited, each brought into 0..1 between the least and the
    most among the flows of the band that wait. Service is ``prompt tokens + 2 * answer tokens`` of requests that have
    ended, fading by half in lasHalfLifeSeconds, counted by fairness id over all bands. Service is compared in classes a
    quarter of a doubling wide, at most one flow of each is looked at, and so a request costs the same among ten
    thousand flows as among two hundred; the reference compares all. Source: program-aware-fairness of llm-d.
    """

    type = "program-aware-fairness-policy"
    use = "Agents or tenants whose requests differ much in length: turns alone would give the long ones more."

    def __init__(self, parameters: ProgramAwareParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self.service = AttainedService(
            _half_life(self.parameters), self.parameters.eviction_ttl_seconds, self.parameters.eviction_sweep_seconds
        )

    def rota(self) -> Rota:
        """Return an empty order of flows, which looks at the service of all bands."""
        return LeastServiceRota(self.parameters, self.service)

    def charge(self, flow: Flow, prompt_tokens: int, answer_tokens: int, now: float) -> None:
        """Count the service."""
        self.service.add(flow.fairness_id, prompt_tokens + ANSWER_WEIGHT * answer_tokens, now)

    def adopt(self, previous: Plugin[ProgramAwareParameters]) -> None:
        """Keep the service counted so far."""
        if isinstance(previous, ProgramAware):
            self.service.adopt(previous.service)


class ProgramAwareFairness(ProgramAware):
    """program-aware-fairness-policy by the name it has in llm-d.

    The same formula, parameters and source.
    """

    type = "program-aware-fairness"
    use = "Configurations written for llm-d."


def _half_life(parameters: ProgramAwareParameters) -> float:
    if parameters.las_half_life_seconds > 0:
        return parameters.las_half_life_seconds
    factor = parameters.las_decay_factor
    return math.inf if factor == 1 else math.log(0.5) / math.log(factor)


def _share(number: int, most: int) -> float:
    """Return the service of a class as a part of the largest one's."""
    if number == most:
        return 1.0
    return 0.0 if number == NOTHING else float(2.0 ** ((number - most) / CLASSES))


def _within(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.0
