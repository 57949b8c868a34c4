"""By scenario, ours meets each peer over all variants: a peer that was lucky once is not the best of them all."""

from __future__ import annotations

import pytest

from signalbox.lab.contest_results import Cell, Result
from signalbox.lab.contest_scenarios import scenario_table, standings


def result(policy: str, rate: float, ttft: float, variant: int = 0, scenario: str = "made") -> Result:
    return Result(scenario, variant, policy, rate, 4.0, ttft, 0.03, 0.5, 0)


LUCKY_IN_TURN: list[Cell] = [
    [result("a", 12.0, 0.4), result("least-cost", 11.0, 0.5), result("b", 9.0, 0.9)],
    [result("b", 12.0, 0.4, 1), result("least-cost", 11.0, 0.5, 1), result("a", 9.0, 0.9, 1)],
]


def test_peers_that_are_ahead_in_one_variant_each_are_behind_over_both() -> None:
    (one,) = standings(LUCKY_IN_TURN, "least-cost")
    assert (one.scenario, one.variants) == ("made", 2)
    assert one.rate.ratio == pytest.approx(11.0 / (12.0 * 9.0) ** 0.5)
    assert one.ttft.ratio == pytest.approx(0.5 / (0.4 * 0.9) ** 0.5)


def test_the_nearest_peer_is_the_one_that_is_ahead_over_all_variants() -> None:
    better = [result("c", 11.5, 0.3), result("c", 11.5, 0.3, 1)]
    (one,) = standings([[*cell, more] for cell, more in zip(LUCKY_IN_TURN, better, strict=True)], "least-cost")
    assert (one.rate.policy, one.ttft.policy) == ("c", "c")
    assert one.rate.ratio < 1.0 < one.ttft.ratio


def test_scenarios_are_kept_apart_and_stand_in_their_order() -> None:
    other: Cell = [result("least-cost", 3.0, 1.0, 0, "other"), result("a", 4.0, 2.0, 0, "other")]
    assert [one.scenario for one in standings([*LUCKY_IN_TURN, other], "least-cost")] == ["made", "other"]
    lines = scenario_table([*LUCKY_IN_TURN, other], "least-cost").splitlines()
    assert lines[3] == "| other | 1 | 0.750 (a) | 0.500 (a) |"
    assert lines[-1] == (
        "Over the variants of a scenario `least-cost` bears more than each of the peers in 1 of 2 "
        "scenarios, and its first tokens come earlier than each one's in 2."
    )


def test_the_oracle_ours_with_other_knowledge_and_who_missed_a_variant_are_no_peers() -> None:
    more = [result("oracle", 50.0, 0.1), result("least-cost-precise", 40.0, 0.1), result("once", 30.0, 0.1)]
    (one,) = standings([[*LUCKY_IN_TURN[0], *more], LUCKY_IN_TURN[1]], "least-cost")
    assert one.rate.policy in "ab"
    assert one.ttft.policy in "ab"


def test_a_peer_that_broke_at_the_lowest_rate_counts_as_bearing_that() -> None:
    (one,) = standings([[result("least-cost", 8.0, 0.5), result("a", 0.0, 0.6)]], "least-cost")
    assert one.rate.ratio == pytest.approx(2.0)


def test_without_ours_or_without_peers_there_is_no_standing() -> None:
    assert standings([[result("a", 1.0, 1.0)], [result("least-cost", 1.0, 1.0)], []], "least-cost") == []
