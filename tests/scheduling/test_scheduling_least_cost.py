"""least-cost-scorer: the endpoint where a request waits least and delays others least."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Columns
from signalbox.scheduling import Cycle, Decision, load_policy
from signalbox.scheduling.observation import Finished, FirstToken
from signalbox.scheduling.pickers import MaxScorePicker
from signalbox.scheduling.scorers import LeastCostScorer
from signalbox.scheduling.scorers.least_cost import LeastCostParameters

ROOT = Path(__file__).parents[2]


def answered(scorer: LeastCostScorer, state: Any, row: int, *, seconds_per_token: float, count: int = 60) -> None:
    """First tokens from a row that computes at this speed."""
    for number in range(count):
        tokens = 1000.0 + 100 * number
        scorer.first_token(
            FirstToken(state.endpoints[row], "m", tokens, 0.0, 0.0, 0.0, 0.02 + seconds_per_token * tokens)
        )


def ended(
    scorer: LeastCostScorer, state: Any, row: int, *, token_seconds: float, count: int = 60, **fields: Any
) -> None:
    """Answers from a row at this pace, of 101 tokens unless told otherwise."""
    usual = {"complete": True, "first_token_seconds": 0.5, "output_tokens": 101.0} | fields
    seconds = 0.5 + (usual["output_tokens"] - 1) * token_seconds
    for _ in range(count):
        scorer.finished(Finished(state.endpoints[row], "m", 1000.0, cached_tokens=None, seconds=seconds, **usual))


def best(scorer: LeastCostScorer, cycle: Cycle, state: Any) -> int:
    """The row of the highest score, which must be the only one."""
    scores = scorer.score(cycle, state.rows)
    assert (scores == 1.0).sum() == 1
    return int(state.rows[np.argmax(scores)])


def test_equal_endpoints_score_one_and_so_does_one_alone(world: Any) -> None:
    for count in (1, 4):
        state = world(count)
        assert LeastCostScorer().score(state.cycle(prompt_tokens=900), state.rows).tolist() == [1.0] * count


def test_a_cached_prompt_is_worth_a_short_queue_and_not_a_long_one(world: Any) -> None:
    scorer = LeastCostScorer()
    for queued, expected in ((500, 0), (8000, 1)):
        state = world(2, prefill_tokens=[queued, 0], inflight=[1, 0])
        cycle = state.cycle(prefix=state.prefix([100, 0], total=125), prompt_tokens=2000)
        assert best(scorer, cycle, state) == expected


def test_a_prompt_nobody_looked_up_is_all_uncached(world: Any) -> None:
    state = world(2, prefill_tokens=[0, 4000], inflight=[0, 1])
    assert best(LeastCostScorer(), state.cycle(prompt_tokens=2000), state) == 0


def test_a_score_is_the_part_of_its_cost_that_the_best_one_costs(world: Any) -> None:
    state = world(2, prefill_tokens=[0, 6000])
    scorer = LeastCostScorer()
    cycle = state.cycle(prompt_tokens=3000)
    low, high = scorer.costs(cycle, state.rows)
    assert high > 1.5 * low
    assert scorer.score(cycle, state.rows)[1] == pytest.approx(low / high, rel=0.03)


def test_a_faster_server_may_have_the_longer_queue(world: Any) -> None:
    state = world(3, prefill_tokens=[6000, 3000, 20_000])
    scorer = LeastCostScorer()
    assert best(scorer, state.cycle(prompt_tokens=1000), state) == 1
    for _ in range(40):
        for row, speed in ((0, 30e-6), (1, 90e-6), (2, 30e-6)):
            answered(scorer, state, row, seconds_per_token=speed, count=1)
    assert best(scorer, state.cycle(prompt_tokens=1000), state) == 0


def test_prompts_keep_away_from_answers_that_are_slow_already(world: Any) -> None:
    state = world(2, inflight=[10, 10], decoding=[10, 10])
    scorer = LeastCostScorer()
    ended(scorer, state, 0, token_seconds=0.045)
    ended(scorer, state, 1, token_seconds=0.015)
    assert best(scorer, state.cycle(prompt_tokens=4000), state) == 1


def test_short_answers_are_kept_from_stalls_that_long_ones_bear(world: Any) -> None:
    """One row has answers in progress, the other a prompt to be computed before."""
    for tokens, expected in ((12.0, 1), (600.0, 0)):
        state = world(2, inflight=[6, 0], decoding=[6, 0], prefill_tokens=[0, 1500])
        scorer = LeastCostScorer()
        for row in (0, 1):
            ended(scorer, state, row, token_seconds=0.01, count=400, output_tokens=tokens)
        assert best(scorer, state.cycle(prompt_tokens=4000), state) == expected


def test_prompts_that_were_just_sent_keep_the_next_one_away_even_when_they_are_computed(world: Any) -> None:
    """Nothing is queued or in flight any more: who got the last one is the busier of two equals for a while."""
    state = world(2)
    scorer = LeastCostScorer()
    cycle = state.cycle(prompt_tokens=4000)
    scorer.score(cycle, state.rows)
    scorer.routed(cycle, Decision((0,), ()))
    assert best(scorer, cycle, state) == 1
    scorer.moved(cycle, Decision((0,), ()), 1)
    assert best(scorer, cycle, state) == 0
    later = state.cycle(prompt_tokens=4000, now=60.0)
    assert scorer.score(later, state.rows).tolist() == [1.0, 1.0]


def test_a_request_avoids_the_endpoint_where_its_own_answer_would_crawl(world: Any) -> None:
    """Its prompt is cached everywhere: nobody is stalled, and nothing is queued."""
    state = world(2, inflight=[40, 4], decoding=[40, 4])
    scorer = LeastCostScorer()
    cycle = state.cycle(prefix=state.prefix([125, 125], total=125), prompt_tokens=2000)
    scorer.score(cycle, state.rows)
    for row in (0, 1):
        ended(scorer, state, row, token_seconds=0.03)
    assert best(scorer, cycle, state) == 1


def test_an_answer_that_broke_off_says_nothing_about_pace(world: Any) -> None:
    state = world(2, inflight=[10, 10])
    scorer = LeastCostScorer()
    ended(scorer, state, 0, token_seconds=0.5, complete=False)
    assert scorer.score(state.cycle(prompt_tokens=4000), state.rows).tolist() == [1.0, 1.0]


def test_a_full_cache_costs_the_wait_for_room(world: Any) -> None:
    state = world(2, context_tokens=[9000, 5000], inflight=[1, 1])
    for row in (0, 1):
        state.columns.set_capacity(row, 16, 625)  # 10,000 tokens
    assert best(LeastCostScorer(), state.cycle(prompt_tokens=3000), state) == 1


def test_the_first_answer_of_an_endpoint_does_not_draw_the_next_prompts(world: Any) -> None:
    """What its luck says against a queue of the others' is a tenth of it."""
    state = world(2, inflight=[10, 10], decoding=[10, 10], prefill_tokens=[2000, 0])
    scorer = LeastCostScorer()
    ended(scorer, state, 1, token_seconds=0.03)
    ended(scorer, state, 0, token_seconds=0.005, count=1)
    assert best(scorer, state.cycle(prompt_tokens=2000), state) == 1


def test_an_adapter_goes_where_it_is(world: Any) -> None:
    state = world(3, lora_max=[4, 4, 4])
    state.columns.set_adapters(1, frozenset({"sql"}))
    assert best(LeastCostScorer(), state.cycle("sql", prompt_tokens=500), state) == 1


def test_what_another_picker_sends_counts(world: Any) -> None:
    state = world(2, waiting=[12, 0], running=[8, 0])
    assert best(LeastCostScorer(), state.cycle(prompt_tokens=500, now=0.1), state) == 1


def test_stale_metrics_leave_what_is_in_flight(world: Any) -> None:
    state = world(2, waiting=[50, 0], running=[50, 0], prefill_tokens=[0, 4000], inflight=[0, 2])
    assert best(LeastCostScorer(), state.cycle(prompt_tokens=500, now=60.0), state) == 0


def test_simultaneous_arrivals_spread_evenly(world: Any) -> None:
    state = world(8)
    scorer, picker, cycle = LeastCostScorer(), MaxScorePicker(), state.cycle(prompt_tokens=700)
    chosen: Counter[int] = Counter()
    for _ in range(200):
        row = int(picker.pick(cycle, state.rows, scorer.score(cycle, state.rows), 1)[0])
        scorer.routed(cycle, Decision((row,), ()))
        state.columns.inflight[row] += 1
        state.columns.prefill_tokens[row] += 700
        state.columns.context_tokens[row] += 828
        chosen[row] += 1
    assert set(chosen.values()) == {25}


def test_an_endpoint_that_left_is_forgotten(world: Any) -> None:
    state = world(2, inflight=[10, 10])
    scorer = LeastCostScorer()
    ended(scorer, state, 1, token_seconds=0.02)
    ended(scorer, state, 0, token_seconds=0.2)
    cycle = state.cycle(prompt_tokens=4000)
    before = scorer.score(cycle, state.rows)
    scorer.left(state.endpoints[0])
    after = scorer.score(cycle, state.rows)
    assert before[0] < after[0] <= 1.0


def test_a_reload_keeps_what_was_learned(world: Any) -> None:
    state = world(2, inflight=[10, 10])
    old, new = LeastCostScorer(), LeastCostScorer()
    ended(old, state, 0, token_seconds=0.045)
    ended(old, state, 1, token_seconds=0.015)
    new.adopt(old)
    cycle = state.cycle(prompt_tokens=4000)
    assert new.costs(cycle, state.rows).tolist() == old.costs(cycle, state.rows).tolist()


@given(
    st.lists(st.tuples(*[st.floats(0, 1e7)] * 5), min_size=1, max_size=9),
    st.integers(0, 200_000),
    st.lists(st.tuples(st.integers(0, 8), st.floats(0, 1e4), st.floats(1, 1e4)), max_size=12),
)
def test_scores_are_from_0_to_1_and_the_least_cost_has_the_highest(
    rows: list[tuple[float, ...]], prompt: int, ends: list[tuple[int, float, float]]
) -> None:
    columns = Columns()
    columns.grow()
    for row, values in enumerate(rows):
        for name, value in zip(
            ("prefill_tokens", "inflight", "context_tokens", "waiting", "running"), values, strict=True
        ):
            getattr(columns, name)[row] = value
        columns.set_capacity(row, 16, 1000)
        columns.scraped_at[row] = 0.0
    scorer = LeastCostScorer()
    for row, seconds, tokens in ends:
        scorer._answers.ended(row, tokens, 0.0, seconds)
    cycle = Cycle("m", 0, columns, np.random, prompt_tokens=prompt)  # type: ignore[arg-type]
    every = np.arange(len(rows))
    scores, costs = scorer.score(cycle, every), scorer.costs(cycle, every)
    assert np.isfinite(costs).all()
    assert (costs >= 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores[np.argmin(costs)] == scores.max() == 1.0


def test_the_example_is_a_policy_of_this_scorer_that_listens() -> None:
    path = ROOT / "examples/scheduling/least-cost.yaml"
    policy = load_policy(path.read_text(), name=path.name)
    scorers = [scorer for profile in policy.profiles.values() for scorer, _ in profile.scorers]
    assert [type(scorer) for scorer in scorers] == [LeastCostScorer]
    assert policy.observes
    assert policy.prefix is not None


@pytest.mark.parametrize("field", ["token_target_ms"])
def test_a_target_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        LeastCostParameters(**{field: 0.0})
