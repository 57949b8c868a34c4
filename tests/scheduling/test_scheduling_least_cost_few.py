"""In a small pool least-cost works on lists: scores are what it says of arrays, to the bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.scheduling.states import cycles

from signalbox.pool import Endpoint, Rows
from signalbox.scheduling import Cycle, Decision, Profile
from signalbox.scheduling.observation import Finished, FirstToken
from signalbox.scheduling.pickers import MaxScorePicker
from signalbox.scheduling.runs import ListRun
from signalbox.scheduling.scorers.least_cost import LeastCostParameters, LeastCostScorer

SCRAPED = 0.0


def learned(seed: int, cycle: Cycle) -> LeastCostScorer:
    """A scorer that has seen some first tokens and ends, and has requests for an adapter under way."""
    dice = np.random.default_rng(seed)
    scorer = LeastCostScorer(LeastCostParameters(token_target_ms=float(dice.choice([5.0, 50.0]))))
    scorer.score(cycle, np.arange(len(cycle.endpoints)))  # learns what is an adapter
    for _ in range(int(dice.integers(0, 30))):
        row = int(dice.integers(0, len(cycle.endpoints)))
        endpoint: Endpoint = cycle.endpoints[row]
        prompt, first = float(dice.integers(1, 20_000)), float(dice.random() * 3)
        scorer.routed(cycle, Decision((row,), ()))
        scorer.first_token(FirstToken(endpoint, "m", prompt, 0.0, float(dice.integers(0, 5_000)), 0.0, first))
        if dice.random() < 0.7:
            answer = float(dice.integers(0, 800))
            scorer.finished(
                Finished(endpoint, "m", prompt, None, answer, first, first + float(dice.random() * 9), True)
            )
    return scorer


@given(state=cycles(), seed=st.integers(0, 10_000), unseen=st.booleans(), capacity=st.sampled_from([0, 50, 100_000]))
def test_a_score_is_the_same_of_a_list(state: tuple[Cycle, Rows], seed: int, unseen: bool, capacity: int) -> None:
    cycle, rows = state
    columns, dice = cycle.columns, np.random.default_rng(seed)
    cycle.now = float(dice.choice([0.5, 3.0]))
    for name in ("prefill_tokens", "context_tokens"):
        getattr(columns, name)[:] = dice.integers(0, 50_000, columns.size)
    columns.inflight[:] = dice.integers(0, 40, columns.size)
    columns.scraped_at[:] = np.where(dice.random(columns.size) < 0.7, cycle.now, SCRAPED)
    for row in range(columns.size):
        columns.set_capacity(row, 16, int(dice.integers(0, capacity + 1)))
        columns.set_unseen(row, float(dice.integers(0, 3)) if unseen else 0.0)
        columns.scraped(row, float(columns.scraped_at[row]))
    scorer = learned(seed, cycle)
    some = rows[dice.random(len(rows)) < 0.7]
    for candidates in (rows, some) if len(some) else (rows,):
        assert scorer.score_few(cycle, candidates.tolist()) == scorer.score(cycle, candidates).tolist()


def test_a_profile_of_it_alone_runs_over_lists() -> None:
    assert ListRun.possible(Profile((), ((LeastCostScorer(), 1.0),), MaxScorePicker()))
