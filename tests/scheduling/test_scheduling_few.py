"""Over few rows plugins work on lists: the result is what they say of arrays, to the bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Columns, Endpoint, Floats, Pool, Readings, Rows, few
from signalbox.scheduling import Cycle, Decision, Profile, Step
from signalbox.scheduling.filters import (
    DecodeFilter,
    HasCapacity,
    LabelSelectorFilter,
    LeastKVCache,
    LeastQueuing,
    LoRAAffinity,
    LowQueue,
    PrefillFilter,
    PrefixCacheAffinityFilter,
    Reachable,
    SessionAffinityFilter,
)
from signalbox.scheduling.filters.label_selector import LabelSelectorParameters
from signalbox.scheduling.filters.least import lowest_few, lowest_share
from signalbox.scheduling.filters.prefix_cache_affinity import PrefixCacheAffinityParameters
from signalbox.scheduling.framework import FEW, FewFilter, FewScorer, Ranking
from signalbox.scheduling.guide import GuideThresholds, guide_tree
from signalbox.scheduling.pickers import MaxScorePicker, RandomPicker, WeightedRandomPicker
from signalbox.scheduling.pickers.best import best_few
from signalbox.scheduling.plugin import Parameters, PickerPlugin
from signalbox.scheduling.prefix.match import PrefixMatch
from signalbox.scheduling.runs import ArrayRun, ListRun
from signalbox.scheduling.scorers import (
    ActiveRequestScorer,
    HeaderLabelAffinityScorer,
    KVCacheUtilizationScorer,
    LoadAwareScorer,
    LoRAAffinityScorer,
    NoHitLRUScorer,
    PrefixCacheScorer,
    QueueScorer,
    RunningRequestsScorer,
    SessionAffinityScorer,
    TokenLoadScorer,
)
from signalbox.scheduling.scorers.active_request import ActiveRequestParameters
from signalbox.scheduling.scorers.header_label_affinity import HeaderLabelAffinityParameters
from signalbox.scheduling.scorers.load_aware import LoadAwareParameters
from signalbox.scheduling.scorers.prefix_cache import PrefixCacheParameters
from signalbox.scheduling.scorers.token_load import TokenLoadParameters

THRESHOLDS = GuideThresholds(kv_cache=0.5, queue=2, queue_lora=3, lora_affinity=0.5)
FILTERS: dict[str, FewFilter] = {
    "reachable": Reachable(),
    "has-capacity": HasCapacity(2, 0.5),
    "low-queue": LowQueue(3),
    "least-queuing": LeastQueuing(),
    "least-kv-cache": LeastKVCache(),
    "lora-affinity": LoRAAffinity(0.5),
    "guide": guide_tree(THRESHOLDS),
    "label-selector-filter": LabelSelectorFilter(LabelSelectorParameters(match_labels={"zone": "a"})),
    "decode-filter": DecodeFilter(),
    "prefill-filter": PrefillFilter(),
    "session-affinity-filter": SessionAffinityFilter(),
    "prefix-cache-affinity-filter": PrefixCacheAffinityFilter(),
    "impatient": PrefixCacheAffinityFilter(
        PrefixCacheAffinityParameters(
            affinity_threshold=0.3, exploration_probability=0.5, max_ttft_penalty_ms=500.0, peak_prefill_throughput=20.0
        )
    ),
}
SCORERS: dict[str, FewScorer] = {
    "queue-scorer": QueueScorer(),
    "kv-cache-utilization-scorer": KVCacheUtilizationScorer(),
    "prefix-cache-scorer": PrefixCacheScorer(),
    "lora-affinity-scorer": LoRAAffinityScorer(),
    "session-affinity-scorer": SessionAffinityScorer(),
    "header-label-affinity-scorer": HeaderLabelAffinityScorer(
        HeaderLabelAffinityParameters(header_name="Zone", label_key="zone")
    ),
    "no-hit-lru-scorer": NoHitLRUScorer(),
    "active-request-scorer": ActiveRequestScorer(),
    "active-request-scorer, idle": ActiveRequestScorer(ActiveRequestParameters(idle_threshold=2, max_busy_score=0.7)),
    "token-load-scorer": TokenLoadScorer(TokenLoadParameters(queue_threshold_tokens=300)),
    "running-requests-size-scorer": RunningRequestsScorer(),
    "load-aware-scorer": LoadAwareScorer(LoadAwareParameters(threshold=7)),
    "long prefixes": PrefixCacheScorer(PrefixCacheParameters(match_length_weight=0.3, match_length_scale_tokens=100)),
}


@st.composite
def moments(draw: st.DrawFn) -> tuple[Cycle, Rows]:
    """Some rows of a small pool in any state, and a request."""
    columns = Columns()
    while columns.size < draw(st.sampled_from([8, FEW])):
        columns.grow()
    dice = np.random.default_rng(draw(st.integers(0, 10_000)))
    counts = ("waiting", "inflight", "inflight_mark", "lora_max", "kv_tokens", "kv_mark", "running", "inflight_tokens")
    for name in counts:
        getattr(columns, name)[:] = dice.integers(0, draw(st.sampled_from([1, 4, 40])), columns.size)
    columns.kv_usage[:] = dice.random(columns.size) * draw(st.sampled_from([0.0, 0.4, 1.3]))
    columns.kv_per_token[:] = dice.random(columns.size) * draw(st.sampled_from([0.0, 0.1]))
    columns.identity[:] = dice.integers(0, 2**63, columns.size)
    columns.failed_scrapes[:] = dice.integers(0, draw(st.sampled_from([1, 5])), columns.size)
    columns.failing = int((columns.failed_scrapes > 0).sum())
    for row in range(columns.size):
        columns.set_unseen(row, float(dice.integers(0, 3)) if draw(st.booleans()) else 0.0)
        columns.set_adapters(row, frozenset(["m", "x", "y"][: int(dice.integers(0, 3))] if dice.random() < 0.5 else []))
    if draw(st.booleans()):
        columns.set_names(columns.loaded, int(dice.integers(0, columns.size)), frozenset(["m"]))
        columns.loaded_adapters = frozenset(["m"])
    roles = ["decode", "prefill", "both"]
    endpoints = {
        row: Endpoint(f"p{row}", "default", f"p{row}", f"10.0.0.{row}", 8000, row,
                      {"zone": "ab"[int(dice.integers(0, 2))],
                       **({"llm-d.ai/role": roles[row % 3]} if row % 4 else {})})
        for row in range(columns.size)
    }  # fmt: skip
    headers = [{}, {"zone": "a"}, {"zone": "z", "x-session-token": "ZGVmYXVsdC9wMw=="}, {"x-session-token": "?"}]
    kept = draw(st.sets(st.integers(0, columns.size - 1), min_size=1))
    total = draw(st.integers(0, 12))
    held: Floats = np.minimum(dice.integers(0, 15, columns.size), total).astype(float)
    cycle = Cycle(
        draw(st.sampled_from(["m", "base"])),
        draw(st.integers(-1, 1)),
        columns,
        random.Random(0),
        endpoints=endpoints,
        headers=draw(st.sampled_from(headers)),
        prompt_tokens=total * 16,
        prefix=draw(st.sampled_from([None, PrefixMatch(held, total, 16, total * 16)])),
    )
    return cycle, np.array(sorted(kept), np.intp)


def twice(cycle: Cycle, way: Any, *arguments: Any) -> Any:
    """Call something after the same throw of the dice and with no steps taken."""
    cycle.rng.seed(5)
    cycle.steps = []
    return way(cycle, *arguments)


@pytest.mark.parametrize("name", FILTERS)
@given(moment=moments())
def test_a_filter_keeps_the_same_of_a_list(name: str, moment: tuple[Cycle, Rows]) -> None:
    cycle, rows = moment
    few = rows.tolist()
    kept = twice(cycle, FILTERS[name].keep, rows).tolist()
    assert twice(cycle, FILTERS[name].keep_few, few) == kept
    assert few == rows.tolist(), "what was given is as it was"


@pytest.mark.parametrize("name", SCORERS)
@given(moment=moments())
def test_a_scorer_says_the_same_of_a_list(name: str, moment: tuple[Cycle, Rows]) -> None:
    cycle, rows = moment
    assert SCORERS[name].score_few(cycle, rows.tolist()) == SCORERS[name].score(cycle, rows).tolist()


@pytest.mark.parametrize("picker", [MaxScorePicker(), RandomPicker()])
@given(moment=moments(), level=st.booleans(), limit=st.integers(1, 4))
def test_a_picker_picks_the_same_of_a_list(
    picker: MaxScorePicker | RandomPicker, moment: tuple[Cycle, Rows], level: bool, limit: int
) -> None:
    cycle, rows = moment
    scores = np.random.default_rng(len(rows)).integers(0, 1 if level else 3, len(rows)) / 2
    picked = twice(cycle, picker.pick, rows, scores, limit).tolist()
    assert twice(cycle, picker.pick_few, rows.tolist(), scores.tolist(), limit)[:limit] == picked


@given(moment=moments(), chosen=st.lists(st.integers(0, 7), min_size=1, max_size=12))
def test_turns_for_cold_prompts_are_the_same_of_a_list(moment: tuple[Cycle, Rows], chosen: list[int]) -> None:
    cycle, rows = moment
    cycle.prefix = PrefixMatch(np.zeros(cycle.columns.size), 3, 16, 48)
    scorer = NoHitLRUScorer()
    for row in chosen:
        scorer.routed(cycle, Decision((row,), ()))
        assert scorer.score_few(cycle, rows.tolist()) == scorer.score(cycle, rows).tolist()


def told(decision: Decision | None) -> Any:
    """All that a decision says."""
    if decision is None:
        return None
    steps = [(s.plugin, s.before, s.after, None if s.rows is None else s.rows.tolist()) for s in decision.steps]
    scores = [
        (each.rows.tolist(), each.totals.tolist(), [(*head, part.tolist()) for *head, part in each.parts])
        for each in decision.scores
    ]
    return decision.rows, decision.profile, steps, scores


@given(
    moment=moments(),
    filters=st.lists(st.sampled_from(sorted(FILTERS)), max_size=3),
    scorers=st.lists(st.tuples(st.sampled_from(sorted(SCORERS)), st.sampled_from([1.0, 2.0, 0.3])), max_size=4),
    binding=st.integers(0, 2),
)
def test_a_whole_decision_is_the_same(
    moment: tuple[Cycle, Rows], filters: list[str], scorers: list[tuple[str, float]], binding: int
) -> None:
    cycle, rows = moment
    weighted = [(SCORERS[name], weight) for name, weight in scorers]
    profile = Profile([FILTERS[name] for name in filters], weighted, MaxScorePicker(), name="p", binding=binding)
    over_arrays = told(twice(cycle, ArrayRun(profile).schedule, rows))
    assert told(twice(cycle, ListRun(profile).schedule, rows.tolist())) == over_arrays


class Longest(QueueScorer):
    """A scorer of somebody who knows nothing of lists."""

    type = "longest"

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Turn the scores around."""
        return 1.0 - super().score(cycle, rows)


class Asked(PickerPlugin[Parameters]):
    """A picker that notes how it was asked, and fails."""

    type = "asked"
    endpoints = 1

    def __init__(self) -> None:
        super().__init__()
        self.ways: list[str] = []

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Fail."""
        self.ways.append("arrays")
        raise ValueError("a picker's fault")

    def pick_few(self, cycle: Cycle, rows: list[int], scores: list[float], limit: int) -> list[int]:
        """Fail."""
        self.ways.append("lists")
        raise ValueError("a picker's fault")


class TestWhichWay:
    def test_a_profile_with_one_plugin_that_takes_arrays_alone_runs_over_arrays(self) -> None:
        assert ListRun.possible(Profile((Reachable(),), (), MaxScorePicker()))
        assert not ListRun.possible(Profile((Reachable(),), (), WeightedRandomPicker()))

    def test_a_method_replaced_in_a_subclass_is_not_passed_over(self, world: Any) -> None:
        profile = Profile((), ((Longest(), 1.0),), MaxScorePicker(), endpoints=1)
        assert not ListRun.possible(profile)
        state = world(2, waiting=[0, 5])
        decision = profile.schedule(state.cycle(), state.rows)
        assert decision is not None
        assert decision.rows == (1,)

    @pytest.mark.parametrize("count", [3, FEW + 1])
    def test_a_picker_that_fails_is_replaced_by_the_best_scores(self, world: Any, count: int) -> None:
        profile = Profile((), ((QueueScorer(), 1.0),), Asked(), endpoints=2)
        state = world(count, waiting=[5, 0, 3] + [9] * (count - 3))
        decision = profile.schedule(state.cycle(), state.rows)
        assert decision is not None
        assert decision.rows == (1, 2)
        assert profile.faults.counts == {"asked": 1}

    @pytest.mark.parametrize(("count", "way"), [(1, "lists"), (FEW, "lists"), (FEW + 1, "arrays")])
    def test_a_small_pool_runs_over_lists_and_a_large_one_over_arrays(self, world: Any, count: int, way: str) -> None:
        picker = Asked()
        state = world(count)
        Profile((), (), picker).schedule(state.cycle(), state.rows)
        assert picker.ways == [way]


class TestWhatIsKept:
    def test_a_step_and_a_ranking_show_arrays_whatever_they_were_made_of(self) -> None:
        step, bare = Step("f", 3, 2, [4, 7]), Step("s", 2, 2)
        assert step.rows is not None
        assert step.rows.dtype == np.intp
        assert step.rows.tolist() == [4, 7]
        assert bare.rows is None
        ranking = Ranking("p", [4, 7], [0.5, 1.0], [("queue-scorer", 2.0, [0.25, 0.5])])
        ranking.totals[0] = 2.0
        assert (ranking.rows.tolist(), ranking.totals.tolist()) == ([4, 7], [2.0, 1.0])
        assert [(name, weight, part.tolist()) for name, weight, part in ranking.parts] == [
            ("queue-scorer", 2.0, [0.25, 0.5])
        ]


def test_what_scrapes_come_to_is_worked_out_anew_after_each(build_pool: Any) -> None:
    pool: Pool = build_pool((3, 0.2, set()), (1, 0.6, set()))
    report = pool.columns.report
    assert (report.longest_queue, report.fullest_cache, report.room_for_adapters) == (3, 0.6, False)
    assert pool.columns.report is report, "nothing was scraped since"
    endpoint = pool.endpoints[0]
    pool.record(endpoint, Readings(waiting=9, kv_usage=0.7), pool.begin_scrape(endpoint), 1.0)
    assert (pool.columns.report.longest_queue, pool.columns.report.fullest_cache) == (9, 0.7)
    assert few.queue(pool.columns, [0, 1]) == [9, 1]


@given(
    st.lists(st.floats(-20, 20) | st.integers(-3, 3).map(float), min_size=1, max_size=FEW),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_the_lowest_share_of_a_column_that_may_fall_below_zero(
    column: list[float], whole: bool, dice: random.Random
) -> None:
    rows = sorted(dice.sample(range(len(column)), dice.randint(1, len(column))))
    values = np.maximum(np.array(column)[rows], 0.0)
    assert lowest_few(rows, column, whole) == lowest_share(np.array(rows), values, whole=whole).tolist()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=2, max_size=FEW), st.integers(1, 8))
def test_of_equal_scores_those_with_the_fewest_requests_are_picked_then_those_with_the_lowest_draw(
    state: list[tuple[int, int]], limit: int
) -> None:
    columns = Columns()
    while columns.size < len(state):
        columns.grow()
    for row, (inflight, unseen) in enumerate(state):
        columns.inflight[row] = inflight
        columns.set_unseen(row, float(unseen))
    rows = list(range(len(state)))
    draws = np.frombuffer(random.Random(3).randbytes(4 * len(rows)), np.uint32).tolist()
    ranked = sorted(rows, key=lambda row: (max(state[row][0] - state[row][1], 0), draws[row]))
    assert best_few(columns, random.Random(3), rows, [0.5] * len(rows), limit) == ranked[:limit]
