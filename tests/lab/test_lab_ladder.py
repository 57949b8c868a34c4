from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from signalbox.lab.ladder import Attempt, Ladder, climb
from signalbox.lab.outcome import COMPLETE, REFUSED, Outcome, Samples
from signalbox.lab.slo import Slo, deciding


def outcome_with(ttft: float) -> Outcome:
    one = np.array([ttft])
    zero = np.zeros(1, int)
    samples = Samples(np.zeros(0), *np.zeros((3, 0, 1)))
    return Outcome(
        "p",
        "w",
        np.zeros(1),
        zero,
        zero + COMPLETE,
        one,
        one,
        one * 0,
        one,
        zero,
        zero + 1,
        zero,
        zero,
        zero,
        1,
        samples,
    )


def breaks_at(limit: float, tried: list[float]) -> Ladder:
    """A ladder up to which a policy holds below ``limit``; what is tried goes to ``tried``."""
    ladder = Ladder("p", Slo(), rate=10.0)

    def attempt(attempts: Sequence[Attempt]) -> None:
        for which, speed in attempts:
            tried.append(speed)
            which.tried(speed, outcome_with(1.0 if speed < limit else 9.0))

    climb([ladder], (1.0, 2.0, 4.0), 3, attempt)
    return ladder


def test_the_gap_in_which_a_policy_breaks_is_halved() -> None:
    tried: list[float] = []
    ladder = breaks_at(2.7, tried)
    assert tried == [1.0, 2.0, 4.0, 3.0, 2.5, 2.75]
    assert ladder.best is not None
    assert ladder.broken is not None
    assert (ladder.best.speed, ladder.best.rate, ladder.broken.speed) == (2.5, 25.0, 2.75)


@pytest.mark.parametrize(("limit", "best"), [(0.5, None), (100.0, 4.0)])
def test_there_is_nothing_to_halve_where_all_hold_or_none(limit: float, best: float | None) -> None:
    tried: list[float] = []
    ladder = breaks_at(limit, tried)
    assert tried == [1.0, 2.0, 4.0]
    assert (None if ladder.best is None else ladder.best.speed) == best


def test_what_holds_above_a_rung_that_broke_does_not_count() -> None:
    ladder = Ladder("p", Slo(), rate=1.0)
    for speed, ttft in ((4.0, 1.0), (1.0, 1.0), (2.0, 9.0)):
        ladder.tried(speed, outcome_with(ttft))
    assert ladder.best is not None
    assert ladder.best.speed == 1.0
    assert ladder.between() == 1.5


def outcome_of(times: Sequence[float], priorities: Sequence[int]) -> Outcome:
    count = len(times)
    ttft, zero = np.array(times), np.zeros(count, int)
    ended = np.where(np.isnan(ttft), REFUSED, COMPLETE)
    samples = Samples(np.zeros(0), *np.zeros((3, 0, 1)))
    return Outcome(
        policy="p",
        workload="w",
        arrival=np.arange(count, dtype=np.float64),
        server=zero,
        ended=ended,
        ttft=ttft,
        e2e=ttft,
        held=zero + 0.0,
        queue=ttft,
        prompt=zero,
        output=zero + 1,
        cached=zero,
        priority=np.array(priorities),
        preempted=zero,
        servers=1,
        samples=samples,
    )


def test_what_decides_is_the_wait_of_a_request_and_not_between_two() -> None:
    """Of ten the place of nine of ten lies between the ninth and the tenth: the tenth decides."""
    outcome = outcome_of([1.0] * 9 + [3.0], [0] * 10)
    assert deciding(outcome)[0] == 3.0
    assert not Slo(ttft=2.0).held(outcome)
    assert Slo(ttft=2.0).broken_by(outcome) == "TTFT p90 3 s"
    assert Slo(ttft=3.0).broken_by(outcome) == ""


def test_who_was_refused_waits_for_ever_unless_it_may_be_refused() -> None:
    nan = float("nan")
    outcome = outcome_of([1.0] * 8 + [nan, nan], [0] * 10)
    assert Slo().broken_by(outcome) == "2 of 10 unanswered"
    assert deciding(outcome)[0] == float("inf")
    assert Slo(tpot=9).held(outcome_of([1.0] * 8 + [nan, nan], [0] * 8 + [-1] * 2))
