"""pace-detector: a pool is as full as its answers are slow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.scheduling.conftest import World

from signalbox.scheduling import InvalidPolicy, load_policy
from signalbox.scheduling.observation import Finished
from signalbox.scheduling.saturation import PaceDetector
from signalbox.scheduling.saturation.pace import GAIN, LEAST_ANSWERS, PRIOR_SPREAD, QUANTILE, PaceDetectorParameters
from signalbox.scheduling.scorers import LeastCostScorer

BUSY: Any = {"inflight": [10, 10], "decoding": [10, 10]}


def detector(**fields: Any) -> tuple[PaceDetector, LeastCostScorer]:
    """One, and the scorer it asks."""
    found, scorer = PaceDetector(PaceDetectorParameters.model_validate(fields)), LeastCostScorer()
    found.connect({scorer.name: scorer})
    return found, scorer


def answer(state: Any, row: int, token_seconds: float, **fields: Any) -> Finished:
    """An answer of 101 tokens at this pace."""
    usual = {"first_token_seconds": 0.5, "output_tokens": 101.0, "complete": True} | fields
    return Finished(state.endpoints[row], "m", 1000.0, cached_tokens=None, seconds=0.5 + 100 * token_seconds, **usual)


def learn(scorer: LeastCostScorer, state: Any, token_seconds: float, count: int = LEAST_ANSWERS, **fields: Any) -> None:
    """Let answers end on both endpoints at this pace."""
    for number in range(count):
        scorer.score(state.cycle(prompt_tokens=100), state.rows)
        scorer.finished(answer(state, number % 2, token_seconds, **fields))


def test_it_is_the_expected_pace_of_nine_in_ten_over_the_target(world: Any) -> None:
    state = world(2, **BUSY)
    found, scorer = detector(tokenTargetMs=40.0)
    learn(scorer, state, 0.03, 400)
    paces = scorer.paces(state.cycle(), state.rows)
    assert paces == pytest.approx([0.03, 0.03], rel=0.02)
    expected = PRIOR_SPREAD * float(paces.mean()) / 0.04
    assert found.saturation(state.cycle(), state.rows) == pytest.approx(expected)


def test_the_slower_the_answers_the_fuller_the_pool(world: Any) -> None:
    state = world(2, **BUSY)
    shown = []
    for pace in (0.01, 0.03, 0.09):
        found, scorer = detector()
        learn(scorer, state, pace, 400)
        shown.append(found.saturation(state.cycle(), state.rows))
    assert shown[0] < shown[1] < 1.0 < shown[2]


def test_until_enough_answers_have_ended_the_pool_counts_as_idle(world: Any) -> None:
    state = world(2, **BUSY)
    found, scorer = detector()
    learn(scorer, state, 0.9, LEAST_ANSWERS - 1)
    assert found.saturation(state.cycle(), state.rows) == 0.0
    assert found.keep(state.cycle(), state.rows).tolist() == [0, 1]
    learn(scorer, state, 0.9, 1)
    assert found.saturation(state.cycle(), state.rows) > 1.0


def test_answers_in_one_piece_tell_nothing(world: Any) -> None:
    state = world(2, **BUSY)
    found, scorer = detector()
    learn(scorer, state, 0.9, 100, first_token_seconds=None)
    assert found.saturation(state.cycle(), state.rows) == 0.0


def test_who_has_nothing_to_do_is_not_full_however_slow_it_was(world: Any) -> None:
    """Or nobody would be sent again to servers that are slower than the target when they are idle."""
    state = world(2, **BUSY)
    found, scorer = detector()
    learn(scorer, state, 0.9, 100)
    idle = world(2)
    assert found.saturation(idle.cycle(), idle.rows) == 0.0
    half = world(2, inflight=[1, 0], decoding=[1, 0])
    assert found.saturation(half.cycle(), half.rows) == pytest.approx(found.saturation(half.cycle(), half.rows[:1]) / 2)


def test_an_empty_pool_is_full() -> None:
    found, _ = detector()
    assert found.saturation(None, []) == 1.0  # type: ignore[arg-type]


def test_in_a_profile_it_drops_who_is_over_the_limit(world: Any) -> None:
    state = world(2, **BUSY)
    found, scorer = detector(headroom=0.1)
    learn(scorer, state, 0.03, 100)
    uneven = world(2, inflight=[3000, 1], decoding=[3000, 1])
    assert found.keep(uneven.cycle(), uneven.rows).tolist() == [1]
    assert found.keep(uneven.cycle(), uneven.rows[:1]).tolist() == [0], "all of them where none is within"


def test_the_spread_comes_to_rest_where_one_answer_in_ten_is_beyond_it(world: Any) -> None:
    state = world(2, **BUSY)
    found, scorer = detector()
    learn(scorer, state, 0.03, 400)
    for _ in range(300):  # the mean stays where it is: what is learned here is the detector's
        for number in range(10):
            found.finished(answer(state, 0, 0.06 if number == 0 else 0.02))
    usual = scorer.token_seconds
    assert 0.02 / usual < found._spread < 0.06 / usual


@given(st.lists(st.floats(0.0, 10.0), max_size=200))
def test_the_spread_stays_positive_and_moves_by_little(paces: list[float]) -> None:
    state: Any = World(2, **BUSY)
    found, scorer = detector()
    learn(scorer, state, 0.03, 40)
    for pace in paces:
        before = found._spread
        found.finished(answer(state, 0, pace))
        assert found._spread > 0
        assert abs(found._spread / before - 1.0) <= GAIN * QUANTILE + 1e-12


@pytest.mark.parametrize("fields", [{"complete": False}, {"output_tokens": 1.0}, {"output_tokens": None}])
def test_what_has_no_pace_teaches_nothing(world: Any, fields: dict[str, Any]) -> None:
    state = world(2, **BUSY)
    found, scorer = detector()
    learn(scorer, state, 0.03, 40)
    found.finished(answer(state, 0, 9.0, **{"output_tokens": 101.0} | fields))
    assert found._spread == PRIOR_SPREAD


def test_a_reload_keeps_what_was_learned(world: Any) -> None:
    state = world(2, **BUSY)
    found, scorer = detector()
    learn(scorer, state, 0.03, 40)
    found.finished(answer(state, 0, 9.0))
    other, _ = detector()
    other.adopt(found)
    assert other._spread == found._spread > PRIOR_SPREAD


CONFIGURATION = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: queue-scorer
  - type: pace-detector
    parameters: {%s}
schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer}]}]
saturationDetector: {pluginRef: pace-detector}
"""


def test_a_configuration_without_a_least_cost_scorer_gets_one_that_scores_nothing() -> None:
    policy = load_policy(CONFIGURATION % "", name="it")
    (profile,) = policy.profiles.values()
    assert [repr(scorer).split("(")[0] for scorer, _ in profile.scorers] == ["QueueScorer"]
    assert "least-cost-scorer" in [plugin.type for plugin in policy.plugins]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("leastCostScorerName: queue-scorer", "'queue-scorer' is not a plugin of type least-cost-scorer"),
        ("tokenTargetMs: 0", "tokenTargetMs"),
        ("headroom: -0.1", "headroom"),
        ("target: 3", "target: is not a known field"),
    ],
)
def test_a_parameter_that_means_nothing_is_told(parameters: str, told: str) -> None:
    with pytest.raises(InvalidPolicy, match=told):
        load_policy(CONFIGURATION % parameters, name="it")
