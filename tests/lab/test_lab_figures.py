from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from signalbox.lab import figures as room
from signalbox.lab.figures import NAMES, figures, imbalance
from signalbox.lab.outcome import COMPLETE, REFUSED, TOO_LARGE, Outcome, Samples
from signalbox.lab.slo import Slo


def outcome_of(
    ttft: list[float], *, tpot: float = 0.01, output: int = 11, ended: list[int] | None = None, priority: int = 0
) -> Outcome:
    """Requests a second apart, with these first tokens."""
    count = len(ttft)
    states = np.array(ended if ended is not None else [COMPLETE] * count, int)
    first = np.where(states == COMPLETE, np.array(ttft, float), np.nan)
    return Outcome(
        policy="p",
        workload="w",
        arrival=np.arange(count, dtype=float),
        server=np.where(states == COMPLETE, 0, -1),
        ended=states,
        ttft=first,
        e2e=first + tpot * (output - 1),
        held=np.where(states == COMPLETE, 0.0, np.nan),
        queue=first / 2,
        prompt=np.full(count, 100),
        output=np.full(count, output),
        cached=np.full(count, 25),
        priority=np.full(count, priority),
        preempted=np.zeros(count, int),
        servers=1,
        samples=Samples(np.zeros(0), *np.zeros((3, 0, 1))),
    )


def test_figures_of_requests_that_are_all_alike_have_no_spread() -> None:
    found = figures(outcome_of([0.5] * 40), Slo())
    assert set(found) == set(NAMES)
    for name in ("ttft_mean", "ttft_p50", "ttft_p90", "ttft_p99"):
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx((0.5, 0.5, 0.5))
    assert found["tpot_mean"].value == pytest.approx(0.01)
    assert found["hit_rate"].value == pytest.approx(0.25)
    assert found["attained"].value == 1.0
    assert found["output_rate"].value == pytest.approx(40 * 11 / (39 + 0.6))
    assert found["goodput"].value == pytest.approx(40 / 39.6)


def test_an_interval_holds_its_figure_and_narrows_with_more_requests() -> None:
    rng = np.random.default_rng(1)
    few, many = (figures(outcome_of(list(rng.exponential(1.0, count))), Slo())["ttft_mean"] for count in (50, 5000))
    for figure in (few, many):
        assert figure.low < figure.value < figure.high
    assert many.high - many.low < (few.high - few.low) / 3
    assert many.low < 1.0 < many.high


def test_neighbours_that_wait_together_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    times = rng.exponential(1.0, 100)
    together = figures(outcome_of(list(np.repeat(times, 20))), Slo())["ttft_mean"]
    mixed = figures(outcome_of(list(rng.permutation(np.repeat(times, 20)))), Slo())["ttft_mean"]
    assert together.high - together.low > 1.5 * (mixed.high - mixed.low)


def test_intervals_are_the_same_every_time_and_depend_on_the_seed() -> None:
    outcome = outcome_of(list(np.linspace(0.1, 3.0, 100)))
    assert figures(outcome, Slo()) == figures(outcome, Slo())
    assert figures(outcome, Slo()) != figures(outcome, Slo(), seed=1)


def test_resamples_are_never_in_memory_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_AT_ONCE", 10_000)
    outcome = outcome_of(list(np.linspace(0.1, 3.0, 2000)))
    tracemalloc.start()
    try:
        figures(outcome, Slo(), resamples=400)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 400 * 2000 * 8 / 2  # bytes: half of what all of them take, written out


@pytest.mark.parametrize("at_once", [1, 700, 10**6])
def test_how_many_resamples_are_looked_at_together_changes_no_figure(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    outcome = outcome_of(list(np.linspace(0.1, 3.0, 101)), ended=[COMPLETE, REFUSED] * 50 + [COMPLETE])
    whole = figures(outcome, Slo(), resamples=40)
    monkeypatch.setattr(room, "_AT_ONCE", at_once)
    assert figures(outcome, Slo(), resamples=40) == whole


def test_refused_requests_have_no_times_and_count_against_goodput() -> None:
    outcome = outcome_of([0.5] * 6, ended=[COMPLETE, REFUSED, COMPLETE, TOO_LARGE, COMPLETE, COMPLETE])
    found = figures(outcome, Slo())
    assert found["ttft_p99"].value == pytest.approx(0.5)
    assert (found["refused"].value, found["too_large"].value) == (1.0, 1.0)
    assert found["attained"].value == pytest.approx(4 / 6)


def test_nothing_answered_is_no_figure_and_no_error() -> None:
    found = figures(outcome_of([0.5] * 3, ended=[REFUSED] * 3), Slo())
    assert np.isnan(found["ttft_mean"].value)
    assert np.isnan(found["hit_rate"].value)
    assert found["refused"].value == 3.0


def test_an_answer_of_one_token_has_no_pace_and_lowers_nobodys() -> None:
    outcome = outcome_of([0.5] * 10, tpot=0.04)
    outcome.output[3:] = 1
    outcome.e2e[3:] = outcome.ttft[3:]
    assert np.isnan(outcome.tpot[3:]).all()
    found = figures(outcome, Slo())
    assert found["tpot_p50"].value == found["tpot_mean"].value == pytest.approx(0.04)
    assert found["attained"].value == 1.0
    assert Slo().held(outcome)
    assert not Slo(tpot=0.03).held(outcome)  # three of three, not three of ten
    assert figures(outcome, Slo(tpot=0.03))["attained"].value == pytest.approx(0.7)


def test_answers_of_one_token_alone_keep_to_any_pace() -> None:
    outcome = outcome_of([0.5] * 4, output=1)
    assert Slo(tpot=0.001).held(outcome)
    assert np.isnan(figures(outcome, Slo())["tpot_p90"].value)
    assert not Slo(ttft=0.4).held(outcome)


def test_a_request_of_one_token_that_was_refused_has_waited_for_ever() -> None:
    outcome = outcome_of([0.5] * 4, output=1, ended=[COMPLETE, COMPLETE, REFUSED, REFUSED])
    assert not Slo().held(outcome)
    assert Slo().broken_by(outcome) == "2 of 4 unanswered"


def test_imbalance_is_spread_by_mean() -> None:
    def samples(held: list[list[float]]) -> Samples:
        running = np.array(held)
        return Samples(np.arange(len(held), dtype=float), running, np.zeros_like(running), np.zeros_like(running))

    assert imbalance(samples([[2, 2], [4, 4]])) == 0.0
    assert imbalance(samples([[4, 0]])) == 1.0
    assert imbalance(samples([[0, 0]])) == 0.0


# -- what a user wants to wait --------------------------------------------------------------------------------------


def test_an_slo_is_read_from_text() -> None:
    assert Slo.parse("ttft=1.5, tpot=0.03") == Slo(1.5, 0.03)
    assert Slo.parse("tpot=0.03") == Slo(2.0, 0.03)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write it as"),
        ("ttft:1", "'ttft:1': write it as"),
        ("itl=1", "'itl=1': write it as"),
        ("ttft=fast", "ttft: 'fast' is not a number"),
        ("ttft=0", "ttft: 0 s is not positive"),
        ("tpot=nan", "tpot: nan s is not positive"),
    ],
)
def test_an_slo_that_makes_no_sense_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Slo.parse(text)


def test_an_slo_holds_while_nine_of_ten_keep_to_it() -> None:
    assert Slo(1.0, 0.05).held(outcome_of([0.5] * 90 + [9.0] * 9))
    assert not Slo(1.0, 0.05).held(outcome_of([0.5] * 89 + [9.0] * 11))
    assert not Slo(1.0, 0.005).held(outcome_of([0.5] * 10))


def test_who_was_refused_waited_for_ever_unless_it_was_sheddable() -> None:
    ended = [COMPLETE] * 8 + [REFUSED] * 2
    assert not Slo().held(outcome_of([0.5] * 10, ended=ended))
    mixed = outcome_of([0.5] * 10, ended=ended)
    mixed.priority[8:] = -1
    assert Slo().held(mixed)
    assert not Slo().held(outcome_of([0.5] * 10, ended=ended, priority=-1))  # there is nothing else
