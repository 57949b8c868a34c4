"""Cold prompts take turns."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.scheduling import Decision
from signalbox.scheduling.scorers import NoHitLRUScorer
from signalbox.scheduling.scorers.no_hit_lru import NoHitLRUParameters


def route(plugin: NoHitLRUScorer, cycle: Any, *rows: int, **stages: tuple[int, ...]) -> None:
    plugin.routed(cycle, Decision(rows, (), stages=stages))


def test_endpoints_that_never_had_a_cold_prompt_come_first_then_the_least_recent(world: Any) -> None:
    state = world(4)
    cycle = state.cycle(prefix=state.prefix([], total=3))
    plugin = NoHitLRUScorer()
    route(plugin, cycle, 2)
    route(plugin, cycle, 0)
    assert plugin.score(cycle, state.rows) == pytest.approx([0, 1, 1 / 3, 2 / 3])
    route(plugin, cycle, 2)
    assert plugin.score(cycle, state.rows) == pytest.approx([1 / 3, 1, 0, 2 / 3])


def test_any_hit_makes_it_neutral_and_moves_nobody(world: Any) -> None:
    state = world(2)
    warm, cold = state.cycle(prefix=state.prefix([1], total=3)), state.cycle(prefix=state.prefix([], total=3))
    plugin = NoHitLRUScorer()
    assert plugin.score(warm, state.rows) == pytest.approx([0.5, 0.5])
    route(plugin, warm, 0)
    assert plugin.score(cold, state.rows) == pytest.approx([1, 0])


def test_a_prompt_that_is_warm_anywhere_is_not_cold_wherever_it_goes(world: Any) -> None:
    state = world(3)
    warm, cold = state.cycle(prefix=state.prefix([1], total=3)), state.cycle(prefix=state.prefix([], total=3))
    plugin = NoHitLRUScorer()
    assert plugin.score(warm, state.rows[1:]) == pytest.approx([0.5, 0.5]), "who holds it is no candidate"
    route(plugin, warm, 1)
    assert plugin.score(cold, state.rows) == pytest.approx([1, 0.5, 0]), "nobody was given a cold one"


def test_the_prefill_choice_counts_too(world: Any) -> None:
    state = world(3)
    cycle = state.cycle(prefix=state.prefix([], total=3))
    plugin = NoHitLRUScorer()
    route(plugin, cycle, 0, prefill=(1,))
    assert plugin.score(cycle, state.rows) == pytest.approx([0.5, 0, 1])


def test_only_so_many_are_remembered(world: Any) -> None:
    state = world(3)
    cycle = state.cycle(prefix=state.prefix([], total=3))
    plugin = NoHitLRUScorer(NoHitLRUParameters(lru_size=1))
    route(plugin, cycle, 0)
    route(plugin, cycle, 1)
    assert plugin.score(cycle, state.rows) == pytest.approx([1, 0, 0.5])


def test_an_endpoint_that_left_is_forgotten_and_a_reload_keeps_the_rest(world: Any) -> None:
    state = world(3)
    cycle = state.cycle(prefix=state.prefix([], total=3))
    old, new = NoHitLRUScorer(), NoHitLRUScorer()
    for row in (0, 1, 2):
        route(old, cycle, row)
    new.adopt(old)
    new.left(state.endpoints[1])
    assert new.score(cycle, state.rows) == pytest.approx([0.5, 1, 0])


def test_a_single_candidate_and_a_growing_pool(world: Any) -> None:
    plugin = NoHitLRUScorer()
    small, large = world(1), world(30)
    assert plugin.score(small.cycle(prefix=small.prefix([], total=1)), small.rows) == pytest.approx([1])
    cycle = large.cycle(prefix=large.prefix([], total=1))
    route(plugin, cycle, 29)
    assert plugin.score(cycle, large.rows)[29] == 0


def test_a_fallback_that_served_takes_the_place_of_the_first_choice(world: Any) -> None:
    state = world(4)
    plugin = NoHitLRUScorer()
    for row in (2, 3):
        route(plugin, state.cycle(prefix=state.prefix([], total=3)), row)
    cycle = state.cycle(prefix=state.prefix([], total=3))
    route(plugin, cycle, 2, 0)
    plugin.moved(cycle, Decision((2, 0), ()), 0)
    assert plugin.score(cycle, state.rows) == pytest.approx([0, 1, 2 / 3, 1 / 3])


def test_a_first_choice_that_got_another_cold_prompt_since_keeps_its_place(world: Any) -> None:
    state = world(3)
    plugin = NoHitLRUScorer()
    cycle, later = (state.cycle(prefix=state.prefix([], total=3)) for _ in range(2))
    route(plugin, cycle, 1, 0)
    route(plugin, later, 1)
    plugin.moved(cycle, Decision((1, 0), ()), 0)
    assert plugin.score(cycle, state.rows) == pytest.approx([0, 0.5, 1])


def test_a_warm_prompt_that_moves_changes_no_place(world: Any) -> None:
    state = world(2)
    plugin = NoHitLRUScorer()
    warm, cold = state.cycle(prefix=state.prefix([1], total=3)), state.cycle(prefix=state.prefix([], total=3))
    route(plugin, warm, 0, 1)
    plugin.moved(warm, Decision((0, 1), ()), 1)
    assert plugin.score(cold, state.rows) == pytest.approx([1, 0])
