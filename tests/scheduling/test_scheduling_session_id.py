"""Which session a request belongs to: a header or a cookie says so, once for all who ask."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.scheduling import Decision, load_policy
from signalbox.scheduling.producers import SessionIDProducer
from signalbox.scheduling.producers.session_id import SessionIDParameters

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def session(world: Any, headers: dict[str, str], **parameters: str) -> str | None:
    plugin = SessionIDProducer(SessionIDParameters.model_validate(parameters, by_alias=True, by_name=False))
    cycle = world(1).cycle(headers=headers)
    plugin.produce(cycle)
    found: str | None = cycle.session
    return found


@pytest.mark.parametrize(
    ("parameters", "headers", "expected"),
    [
        ({}, {"x-session-id": "alice"}, "alice"),
        ({}, {"x-session-id": ""}, None),
        ({}, {}, None),
        ({"headerName": "X-My-Session"}, {"x-my-session": "bob", "x-session-id": "alice"}, "bob"),
        ({"headerName": "X-My-Session"}, {"x-session-id": "alice"}, None),
        ({"cookieName": "sid"}, {"cookie": "sid=alice"}, "alice"),
        ({"cookieName": "sid"}, {"cookie": "a=b; sid=alice; c"}, "alice"),
        ({"cookieName": "sid"}, {"cookie": 'sid="alice"'}, "alice"),
        ({"cookieName": "sid"}, {"cookie": "sid=; sid=late"}, "late"),
        ({"cookieName": "sid"}, {"cookie": "SID=alice; xsid=bob; sid"}, None),
        ({"cookieName": "sid"}, {"cookie": "sid=a=b"}, "a=b"),
        ({"cookieName": "sid"}, {"x-session-id": "alice"}, None),
    ],
)
def test_where_it_is_found(
    world: Any, parameters: dict[str, str], headers: dict[str, str], expected: str | None
) -> None:
    assert session(world, headers, **parameters) == expected


def test_the_first_producer_that_finds_one_is_believed(world: Any) -> None:
    text = (
        "plugins: [{type: session-id-producer, name: a, parameters: {headerName: x-a}},"
        " {type: session-id-producer, name: b, parameters: {cookieName: b}}]"
    )
    policy = load_policy(HEAD + text, name="x")
    for headers, expected in (
        ({"x-a": "1", "cookie": "b=2"}, "1"),
        ({"cookie": "b=2"}, "2"),
        ({}, None),
    ):
        cycle = world(1).cycle(headers=headers)
        policy.prepare(cycle)
        assert cycle.session == expected


@pytest.mark.parametrize("plugin", ["session-affinity-scorer", "session-affinity-filter"])
def test_an_affinity_plugin_that_reads_the_attribute_brings_the_producer_along(world: Any, plugin: str) -> None:
    sources = "{strategy: session_id, sessionIdConfig: {sources: [{attribute: session-id}]}}"
    policy = load_policy(f"{HEAD}plugins: [{{type: {plugin}, parameters: {sources}}}]", name="x")
    state = world(3)
    chosen = []
    for seed in range(8):
        cycle = state.cycle(headers={"x-session-id": "alice"}, seed=seed)
        policy.prepare(cycle)
        decision = policy.schedule(cycle, state.rows)
        assert isinstance(decision, Decision)
        chosen.append(decision.rows[0])
    assert len(set(chosen)) == 1
    assert not policy.faults


def test_one_that_reads_a_header_needs_nobody() -> None:
    text = "plugins: [{type: session-affinity-scorer, parameters: {strategy: session_id}}]"
    assert "session-id-producer" not in [plugin.type for plugin in load_policy(HEAD + text, name="x").plugins]


def test_where_the_reference_keeps_bindings_is_told() -> None:
    text = "plugins: [{type: session-id-producer, parameters: {headerName: x-a, lruSize: 9, ttl: 1h}}]"
    notes = load_policy(HEAD + text, name="x").notes
    assert len([note for note in notes if "remember themselves where a session is bound" in note]) == 2
