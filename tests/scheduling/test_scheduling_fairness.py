"""Which flow of a band goes next."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.scheduling.fairness import GlobalStrict, ProgramAware, ProgramAwareFairness, RoundRobin
from signalbox.scheduling.fairness.program_aware import CLASSES, NOTHING, ProgramAwareParameters
from signalbox.scheduling.fairness.service import MOST, AttainedService
from signalbox.scheduling.queueing import Flow, Rota, Turn


def head(rota: Rota, flow: str, arrived: float, number: int = 0) -> None:
    rota.head(flow, Turn(Flow(flow, 0), 1, arrived), (arrived, number))


def serve(rota: Rota, flow: str, now: float, then: float | None = None) -> None:
    """The first of a flow goes; the next one arrived ``then``, or there is none."""
    rota.took(flow, now)
    if then is None:
        rota.left(flow)
    else:
        head(rota, flow, then, 99)


def test_strict_goes_by_rank_alone() -> None:
    rota = GlobalStrict().rota()
    for number, (flow, arrived) in enumerate([("a", 3.0), ("b", 1.0), ("c", 2.0)]):
        head(rota, flow, arrived, number)
    assert rota.pick(9) == "b"
    serve(rota, "b", 9, then=2.5)
    assert rota.pick(9) == "c"
    rota.left("c")
    assert rota.pick(9) == "b"
    head(rota, "a", 0.0)
    assert rota.pick(9) == "a"


def test_round_robin_goes_round() -> None:
    rota = RoundRobin().rota()
    for flow in "abc":
        head(rota, flow, 0.0)
    served = []
    for _ in range(5):
        served.append(rota.pick(1.0))
        serve(rota, served[-1], 1.0, then=0.0)
    assert served == ["a", "b", "c", "a", "b"]


def test_a_flow_that_comes_back_does_not_jump_the_queue() -> None:
    rota = RoundRobin().rota()
    for flow in "abc":
        head(rota, flow, 0.0)
    serve(rota, "a", 1.0)
    head(rota, "a", 1.0)
    assert rota.pick(1.0) == "b"
    head(rota, "b", -5.0)
    assert rota.pick(1.0) == "b", "another first is no turn"


@pytest.mark.parametrize("policy", [GlobalStrict(), RoundRobin(), ProgramAware()])
def test_there_is_nobody_to_pick_where_nobody_waits(policy: Any) -> None:
    with pytest.raises((LookupError, StopIteration)):
        policy.rota().pick(0.0)


def program(**parameters: Any) -> ProgramAware:
    return ProgramAware(ProgramAwareParameters(**parameters))


def test_whoever_had_the_least_service_goes_first() -> None:
    policy = program()
    rota = policy.rota()
    policy.charge(Flow("long", 0), 1000, 4000, 0.0)
    policy.charge(Flow("short", 0), 100, 40, 0.0)
    for flow in ("long", "short", "new"):
        head(rota, flow, 5.0)
    served = []
    for _ in range(3):
        served.append(rota.pick(6.0))
        serve(rota, served[-1], 6.0)
    assert served == ["new", "short", "long"]


def test_service_is_counted_over_all_bands_and_while_a_flow_waits() -> None:
    policy = program()
    rota = policy.rota()
    head(rota, "a", 1.0, 1)
    head(rota, "b", 2.0, 2)
    assert rota.pick(3.0) == "a"
    policy.charge(Flow("a", 7), 10, 10, 3.0)
    rota.charged("a", 3.0)
    rota.charged("nobody", 3.0)
    assert rota.pick(3.0) == "b"


def test_waiting_helps() -> None:
    policy = program(las_weight_service=0.3, las_weight_head_wait=0.7)
    rota = policy.rota()
    policy.charge(Flow("served", 0), 1000, 0, 0.0)
    head(rota, "served", 0.0)
    head(rota, "new", 50.0)
    assert rota.pick(60.0) == "served"


def test_equal_flows_go_by_arrival() -> None:
    rota = program().rota()
    for number, flow in enumerate("bac"):
        head(rota, flow, 4.0, number)
    assert rota.pick(5.0) == "b"


class Formula:
    """The formula over everybody who waits."""

    def __init__(self, policy: ProgramAware) -> None:
        self.policy = policy
        self.heads: dict[str, float] = {}

    def scores(self, now: float) -> dict[str, float]:
        levels = {flow: self.policy.service.level(flow) for flow in self.heads}
        classes = {
            flow: NOTHING if level == -math.inf else math.floor(level * CLASSES) for flow, level in levels.items()
        }
        most = max(classes.values())
        service = {flow: 0.0 if had == NOTHING else 2.0 ** ((had - most) / CLASSES) for flow, had in classes.items()}
        if most == NOTHING:
            service = dict.fromkeys(service, 0.0)
        waits = {flow: now - arrived for flow, arrived in self.heads.items()}
        parameters = self.policy.parameters
        return {
            flow: parameters.las_weight_service * (1 - self.within(service[flow], service))
            + parameters.las_weight_head_wait * self.within(waits[flow], waits)
            for flow in self.heads
        }

    @staticmethod
    def within(value: float, among: dict[str, float]) -> float:
        low, high = min(among.values()), max(among.values())
        return (value - low) / (high - low) if high > low else 0.0


@given(
    changes=st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),
            st.sampled_from(["head", "head", "serve", "left", "charge"]),
            st.integers(0, 10_000_000),
        ),
        max_size=60,
    ),
    weights=st.sampled_from([(0.8, 0.2), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]),
)
def test_it_picks_what_the_formula_says(changes: list[tuple[str, str, int]], weights: tuple[float, float]) -> None:
    policy = program(las_weight_service=weights[0], las_weight_head_wait=weights[1], las_half_life_seconds=5.0)
    rota, formula = policy.rota(), Formula(policy)
    for number, (flow, change, amount) in enumerate(changes):
        now = float(number)
        waits = flow in formula.heads
        if change == "charge":
            policy.charge(Flow(flow, 0), amount, 0, now)
            rota.charged(flow, now)
        elif change == "head" or (change == "serve" and waits):
            if change == "serve":
                rota.took(flow, now)
            formula.heads[flow] = now - amount % 60
            head(rota, flow, formula.heads[flow], number)
        elif change == "left" and waits:
            del formula.heads[flow]
            rota.left(flow)
        if formula.heads:
            scores = formula.scores(now)
            assert scores[rota.pick(now)] == pytest.approx(max(scores.values()))


def test_service_fades_by_half() -> None:
    service = AttainedService(60.0, 0.0, 1.0)
    service.add("a", 800, 0.0)
    assert service.tokens("a", 120.0) == pytest.approx(200)
    service.add("a", 100, 120.0)
    assert service.tokens("a", 120.0) == pytest.approx(300)
    assert service.tokens("b", 120.0) == 0
    service.add("c", 0, 1e7)
    assert service.tokens("c", 1e7) == 0


@pytest.mark.parametrize(
    ("parameters", "left"),
    [
        ({"las_half_life_seconds": 10.0}, 0.5),
        ({"las_half_life_seconds": 0.0, "las_decay_factor": 0.9}, 0.9**10),
        ({"las_half_life_seconds": 0.0, "las_decay_factor": 1.0}, 1.0),
    ],
)
def test_how_fast_it_fades_can_be_said_in_two_ways(parameters: dict[str, float], left: float) -> None:
    policy = program(**parameters)
    policy.charge(Flow("a", 0), 100, 0, 0.0)
    assert policy.service.tokens("a", 10.0) == pytest.approx(100 * left)


def test_answers_count_double() -> None:
    policy = program()
    policy.charge(Flow("a", 0), 10, 7, 0.0)
    assert policy.service.tokens("a", 0.0) == pytest.approx(24)


def test_who_was_not_served_for_long_is_forgotten_when_it_is_looked_for() -> None:
    service = AttainedService(60.0, 100.0, 30.0)
    service.add("a", 1, 0.0)
    service.add("b", 1, 50.0)
    service.add("c", 1, 120.0)
    assert len(service) == 2
    service.add("c", 1, 149.0)
    service.add("c", 1, 149.9)
    assert len(service) == 2, "looked for every 30 s"
    service.add("c", 1, 151.0)
    assert len(service) == 1


def test_fairness_ids_without_end_are_no_leak() -> None:
    service = AttainedService(60.0, 0.0, 300.0)
    for number in range(MOST + 10):
        service.add(str(number), 1, float(number))
    assert len(service) == MOST
    assert service.level("0") == -math.inf


def test_long_names_are_kept_apart_and_not_kept_whole() -> None:
    service = AttainedService(60.0, 0.0, 300.0)
    service.add("a" * 60_000, 5, 0.0)
    service.add("a" * 60_001, 7, 0.0)
    assert service.tokens("a" * 60_000, 0.0) == pytest.approx(5)
    assert service.tokens("a" * 60_001, 0.0) == pytest.approx(7)
    assert max(map(len, service._clients)) <= 64


def test_service_outlives_a_reload() -> None:
    before, after, other = program(), program(), ProgramAwareFairness()
    before.charge(Flow("a", 0), 10, 0, 0.0)
    after.adopt(before)
    assert after.service.tokens("a", 0.0) == pytest.approx(10)
    assert other.service.tokens("a", 0.0) == 0
    assert other.type == "program-aware-fairness"
    assert other.parameters == before.parameters


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["wait", "wait", "serve"]), st.integers(0, 100)), max_size=40
    )
)
def test_jains_index_is_that_of_the_average_waits(changes: list[tuple[str, str, int]]) -> None:
    service = AttainedService(60.0, 10.0, 1.0)
    for now, (client, change, amount) in enumerate(changes):
        if change == "wait":
            service.waited(client, float(amount), float(now))
        else:
            service.add(client, float(amount), float(now))
    averages = [client.average for _, client in service.latest() if client.waits]
    squares = sum(average**2 for average in averages)
    expected = 1.0 if len(averages) < 2 or not squares else sum(averages) ** 2 / (len(averages) * squares)
    assert service.jain() == pytest.approx(expected, abs=1e-6)


def test_how_long_a_flows_first_waited_is_noted_when_it_goes() -> None:
    policy = program()
    rota = policy.rota()
    head(rota, "a", 1.0, 1)
    head(rota, "b", 3.0, 2)
    serve(rota, "a", 5.0, then=4.0)
    serve(rota, "a", 6.0)
    serve(rota, "b", 6.0)
    assert {name: (client.waits, client.average) for name, client in policy.service.latest()} == {
        "b": (1, 3.0),
        "a": (2, 3.0),
    }
    assert policy.service.jain() == 1.0
