"""Who has encoded a prompt's images before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.scheduling import Decision, load_policy
from signalbox.scheduling.producers import MultimodalCacheProducer
from signalbox.scheduling.producers.mm_embeddings_cache import MultimodalCacheParameters
from signalbox.scheduling.scorers import MultimodalCacheScorer

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def pair(megabytes: float = 4096) -> tuple[MultimodalCacheProducer, MultimodalCacheScorer]:
    parameters = MultimodalCacheParameters.model_validate(
        {"cacheSizeInMBPerServer": megabytes}, by_alias=True, by_name=False
    )
    producer, scorer = MultimodalCacheProducer(parameters), MultimodalCacheScorer()
    scorer.connect({"cache": producer})
    return producer, scorer


def scores(scorer: MultimodalCacheScorer, state: Any, *media: int) -> list[float]:
    cycle = state.cycle(media=media)
    found = scorer.score(cycle, state.rows).tolist()
    assert scorer.score_few(cycle, state.rows.tolist()) == found
    return list(found)


def test_the_part_of_the_items_that_an_endpoint_was_sent(world: Any) -> None:
    state = world(3)
    producer, scorer = pair()
    assert scores(scorer, state, 1, 2) == [0, 0, 0]
    producer.routed(state.cycle(media=(1, 2)), Decision((0, 2), ()))
    producer.routed(state.cycle(media=(2, 3, 4)), Decision((1,), ()))
    assert scores(scorer, state, 1, 2) == [1, 0.5, 0]
    assert scores(scorer, state, 2, 3, 4, 5) == [0.25, 0.75, 0]
    assert scores(scorer, state) == [0, 0, 0]


def test_as_many_are_remembered_as_the_cache_holds_and_the_least_used_goes_first(world: Any) -> None:
    state = world(1)
    producer, scorer = pair(megabytes=5)
    assert producer.capacity == 2
    for media in (1, 2, 1, 3):
        producer.routed(state.cycle(media=(media,)), Decision((0,), ()))
    assert [scores(scorer, state, item) for item in (1, 2, 3)] == [[1], [0], [1]]


@pytest.mark.parametrize(
    ("stages", "promptless", "expected"),
    [
        ({}, frozenset(), [1, 0, 0]),
        ({"prefill": (1,)}, frozenset(("encode",)), [0, 1, 0]),
        ({"prefill": (1,), "encode": (2,)}, frozenset(("encode",)), [0, 0, 1]),
        ({"encode": (1, 2)}, frozenset(("encode",)), [0, 1, 1]),
    ],
)
def test_who_encodes_remembers(
    world: Any, stages: dict[str, tuple[int, ...]], promptless: frozenset[str], expected: list[float]
) -> None:
    state = world(3)
    producer, scorer = pair()
    producer.routed(state.cycle(media=(7,)), Decision((0,), (), stages=stages, promptless=promptless))
    assert scores(scorer, state, 7) == expected


def test_a_fallback_that_served_holds_them_and_the_first_choice_what_it_held_before(world: Any) -> None:
    state = world(3)
    producer, scorer = pair()
    producer.routed(state.cycle(media=(1,)), Decision((0,), ()))
    cycle, decision = state.cycle(media=(1, 2)), Decision((0, 1), ())
    producer.routed(cycle, decision)
    producer.moved(cycle, decision, 1)
    assert scores(scorer, state, 1) == [1, 1, 0]
    assert scores(scorer, state, 2) == [0, 1, 0]


def test_a_fallback_of_the_decode_server_encodes_nothing(world: Any) -> None:
    state = world(3)
    producer, scorer = pair()
    cycle, decision = state.cycle(media=(1,)), Decision((0, 2), (), stages={"prefill": (1,)})
    producer.routed(cycle, decision)
    producer.moved(cycle, decision, 2)
    assert scores(scorer, state, 1) == [0, 1, 0]


def test_one_that_left_is_forgotten_and_a_reload_keeps_the_rest(world: Any) -> None:
    state = world(2)
    old, _ = pair()
    producer, scorer = pair()
    for row in (0, 1):
        old.routed(state.cycle(media=(1,)), Decision((row,), ()))
    producer.adopt(old)
    producer.left(state.endpoints[0])
    producer.left(state.endpoints[0])
    assert scores(scorer, state, 1) == [0, 1]


def test_listing_the_scorer_is_enough_and_prompts_are_searched_only_then() -> None:
    policy = load_policy(HEAD + "plugins: [{type: mm-embeddings-cache-scorer}]", name="x")
    assert policy.reads_media_items
    assert [plugin.type for plugin in policy.plugins].count("mm-embeddings-cache-producer") == 1
    assert not load_policy(HEAD + "plugins: [{type: queue-scorer}]", name="x").reads_media_items


@given(
    sent=st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 9), min_size=1, max_size=4)), max_size=30),
    capacity=st.integers(1, 5),
)
def test_it_holds_what_a_list_of_the_latest_would(sent: list[tuple[int, list[int]]], capacity: int) -> None:
    producer, _ = pair(megabytes=2 * capacity)
    model: dict[int, list[int]] = {row: [] for row in range(3)}
    for row, items in sent:
        producer._remember(row, items)
        for item in items:
            model[row] = [other for other in model[row] if other != item] + [item]
        model[row] = model[row][-capacity:]
    assert {row: list(held) for row, held in producer._held.items()} == {
        row: held for row, held in model.items() if held
    }
