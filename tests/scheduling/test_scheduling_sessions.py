"""Sessions come back to their endpoint, by a token the client carries or by their name."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from signalbox.scheduling import Decision
from signalbox.scheduling.filters import SessionAffinityFilter
from signalbox.scheduling.scorers import SessionAffinityScorer
from signalbox.scheduling.sessions import SessionAffinityParameters

BY_NAME = {"strategy": "session_id", "sessionIdConfig": {"evictionTtlSeconds": 60}}


def parameters(**fields: Any) -> SessionAffinityParameters:
    return SessionAffinityParameters.model_validate(fields, by_alias=True, by_name=False)


def test_the_token_of_the_last_answer_leads_back(world: Any) -> None:
    state = world(3)
    plugin = SessionAffinityScorer()
    headers = plugin.answer_headers(state.cycle(), Decision((1, 0), ()))
    assert headers == {"x-session-token": base64.b64encode(b"default/pod-1").decode()}
    assert plugin.score(state.cycle(headers=headers), state.rows).tolist() == [0, 1, 0]


@pytest.mark.parametrize("token", ["", "!!", "////", base64.b64encode(b"default/gone").decode(), "é"])
def test_a_token_that_means_nothing_is_no_session(world: Any, token: str) -> None:
    state = world(2)
    cycle = state.cycle(headers={"x-session-token": token})
    assert SessionAffinityScorer().score(cycle, state.rows).tolist() == [0, 0]
    assert SessionAffinityFilter().keep(cycle, state.rows).tolist() == [0, 1]


def test_a_named_session_is_remembered_until_it_is_unused_for_long(world: Any) -> None:
    state = world(3)
    plugin = SessionAffinityFilter(parameters(**BY_NAME))
    headers = {"x-session-id": "alice"}
    assert plugin.keep(state.cycle(headers=headers), state.rows).tolist() == [0, 1, 2]
    plugin.routed(state.cycle(headers=headers, now=10.0), Decision((2,), ()))
    assert plugin.keep(state.cycle(headers=headers, now=70.0), state.rows).tolist() == [2]
    assert plugin.keep(state.cycle(headers=headers, now=70.1), state.rows).tolist() == [0, 1, 2]
    assert plugin.keep(state.cycle(headers={"x-session-id": "bob"}, now=11.0), state.rows).tolist() == [0, 1, 2]
    assert plugin.answer_headers(state.cycle(headers=headers), Decision((2,), ())) == {}


def test_a_session_whose_endpoint_is_no_candidate_passes_and_binds_anew(world: Any) -> None:
    state = world(3)
    plugin = SessionAffinityFilter(parameters(**BY_NAME))
    cycle = state.cycle(headers={"x-session-id": "alice"})
    plugin.routed(cycle, Decision((2,), ()))
    assert plugin.keep(cycle, state.rows[:2]).tolist() == [0, 1]
    plugin.routed(cycle, Decision((0,), ()))
    assert plugin.keep(cycle, state.rows).tolist() == [0]


def test_sources_are_tried_in_order_and_no_others(world: Any) -> None:
    state = world(2)
    sources = {"sources": [{"header": "X-Agent"}, {"header": "x-session-id"}]}
    plugin = SessionAffinityScorer(parameters(strategy="session_id", sessionIdConfig=sources))
    plugin.routed(state.cycle(headers={"x-session-id": "s", "x-agent": "a"}), Decision((1,), ()))
    assert plugin.score(state.cycle(headers={"x-agent": "a"}), state.rows).tolist() == [0, 1]
    assert plugin.score(state.cycle(headers={"x-session-id": "s"}), state.rows).tolist() == [0, 0]
    assert plugin.score(state.cycle(session="a"), state.rows).tolist() == [0, 0]
    knowing = {"sources": [{"header": "x-agent"}, {"attribute": "session-id"}]}
    plugin = SessionAffinityScorer(parameters(strategy="session_id", sessionIdConfig=knowing))
    plugin.routed(state.cycle(session="a"), Decision((1,), ()))
    assert plugin.score(state.cycle(session="a"), state.rows).tolist() == [0, 1]


def test_an_instance_can_follow_another_profile(world: Any) -> None:
    state = world(3)
    plugin = SessionAffinityScorer(parameters(profileName="prefill"))
    decision = Decision((0,), (), profile="decode", stages={"prefill": (2,)})
    assert base64.b64decode(plugin.answer_headers(state.cycle(), decision)["x-session-token"]) == b"default/pod-2"
    assert plugin.answer_headers(state.cycle(), Decision((0,), (), profile="decode")) == {}


def test_unused_sessions_are_swept_and_a_reload_keeps_the_others(world: Any) -> None:
    state = world(2)
    old, new = SessionAffinityScorer(parameters(**BY_NAME)), SessionAffinityScorer(parameters(**BY_NAME))
    for index, now in enumerate([0.0, 1.0, 100.0]):
        old.routed(state.cycle(headers={"x-session-id": f"s{index}"}, now=now), Decision((1,), ()))
    assert list(old._bindings._bound) == ["s2"]
    new.adopt(old)
    assert new.score(state.cycle(headers={"x-session-id": "s2"}, now=101.0), state.rows).tolist() == [0, 1]
