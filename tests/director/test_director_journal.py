"""What a journal is told of each request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from signalbox.director import (
    Arrival,
    Completion,
    Director,
    Refusal,
    Refused,
    Routed,
    Ticket,
    guide_rules,
    policy_rules,
)
from signalbox.director.arrival import refuse
from signalbox.director.events import SilentObserver
from signalbox.pool import Columns, Pool, Rows
from signalbox.scheduling import Cycle, Decision, load_policy

COMPLETIONS = "/v1/completions"


class Notes:
    """A journal that keeps what it is told."""

    def __init__(self, wanted: bool = True) -> None:
        self.wanted = wanted
        self.asked: list[tuple[str, float]] = []
        self.decisions: list[tuple[str, Ticket, Cycle, list[int], Decision, float]] = []
        self.refusals: list[Refusal] = []
        self.ended: list[Ticket] = []

    def wants(self, request_id: str, now: float) -> bool:
        self.asked.append((request_id, now))
        return self.wanted

    def before(self, columns: Columns) -> str:
        return f"{columns.inflight.sum():g} in flight"

    def routed(self, kept: str, ticket: Ticket, cycle: Cycle, rows: Rows, decision: Decision, seconds: float) -> None:
        self.decisions.append((kept, ticket, cycle, rows.tolist(), decision, seconds))

    def refused(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)

    def finished(self, ticket: Ticket) -> None:
        self.ended.append(ticket)


def body(model: str = "m") -> bytes:
    return json.dumps({"model": model, "prompt": "say hello", "max_tokens": 5}).encode()


def arrival(model: str = "m", **fields: Any) -> Arrival:
    return Arrival(COMPLETIONS, body(model), "r-1", **fields)


def directed(pool: Pool, notes: Notes) -> Director:
    return Director(pool, guide_rules(), journal=notes)


def test_a_decision_comes_with_everything_it_was_made_of(build_pool: Any) -> None:
    pool = build_pool((9, 0.1, set()), (0, 0.1, set()))
    notes = Notes()
    outcome = directed(pool, notes).arrive(arrival(objective="batch"), 3.0)
    assert isinstance(outcome, Routed)
    ((kept, ticket, cycle, rows, decision, _),) = notes.decisions
    assert kept == "0 in flight"  # as it was before the decision, not after
    assert ticket is outcome.ticket
    assert ticket.objective == "batch"
    assert (cycle.target, rows) == ("m", [0, 1])
    assert pool.endpoint(decision.rows[0]).name == "pod-1"
    assert [step.plugin for step in decision.steps if step.rows is not None and step.after < step.before] == [
        "has-capacity",
        "decision-tree",
    ]


def test_the_end_of_a_request_is_on_its_ticket_when_the_journal_hears_of_it(build_pool: Any) -> None:
    notes = Notes()
    director = directed(build_pool((0, 0, set())), notes)
    outcome = director.arrive(arrival(), 3.0)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    director.finish(outcome.ticket, 5.0, outcome="complete", status=200)
    director.finish(outcome.ticket, 6.0, outcome="cancelled", status=None)
    (ticket,) = notes.ended
    assert ticket.completion is not None
    assert (ticket.completion.outcome, ticket.completion.status, ticket.finished_at) == ("complete", 200, 5.0)


def test_what_is_not_wanted_is_asked_about_once_and_never_told(build_pool: Any) -> None:
    notes = Notes(wanted=False)
    director = directed(build_pool((0, 0, set())), notes)
    outcome = director.arrive(arrival(), 3.0)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    director.finish(outcome.ticket, 5.0, outcome="complete", status=200)
    director.arrive(Arrival(COMPLETIONS, b"no json", "r-2"), 4.0)
    assert notes.asked == [("r-1", 3.0), ("r-2", 4.0)]
    assert (notes.decisions, notes.refusals, notes.ended) == ([], [], [])


def refused(pool: Pool, request: Arrival, rules: Any = None) -> Refusal:
    notes = Notes()
    outcome = Director(pool, rules or guide_rules(), journal=notes).arrive(request, 3.0)
    assert isinstance(outcome, Refused)
    assert notes.asked == [("r-1", 3.0)]
    (refusal,) = notes.refusals
    assert (refusal.request_id, refusal.at, refusal.reason) == ("r-1", 3.0, outcome.message)
    assert (refusal.status, refusal.code) == (outcome.status, outcome.code)
    return refusal


def test_a_body_that_cannot_be_read_is_a_refusal_without_a_model(build_pool: Any) -> None:
    refusal = refused(build_pool((0, 0, set())), Arrival(COMPLETIONS, b"no json", "r-1"))
    assert (refusal.status, refusal.model, refusal.priority) == (400, "", None)


def test_an_unknown_model_is_a_refusal_with_the_name_that_was_asked_for(build_pool: Any, objects: Any) -> None:
    pool = build_pool((0, 0, set()), resources=(objects.model("food-review"),))
    refusal = refused(pool, arrival("nobody"))
    assert (refusal.status, refusal.model, refusal.target) == (404, "nobody", "")


def test_no_endpoint_is_a_refusal_with_target_and_priority(build_pool: Any, objects: Any) -> None:
    pool = build_pool(resources=(objects.model("food-review", (("v1", 100),), criticality="Critical"),))
    refusal = refused(pool, arrival("food-review"))
    assert (refusal.status, refusal.target, refusal.priority, refusal.candidates) == (503, "v1", 1, 0)
    refusal = refused(pool, Arrival("/v1/models", None, "r-1"))
    assert (refusal.status, refusal.model) == (503, "")


def test_a_shed_request_names_the_detector_of_the_guide(build_pool: Any, objects: Any) -> None:
    pool = build_pool((9, 0.1, set()), (9, 0.9, set()), resources=(objects.objective("batch", -1),))
    refusal = refused(pool, arrival(objective="batch"))
    assert (refusal.status, refusal.candidates, refusal.priority) == (429, 2, -1)
    assert (refusal.detector, refusal.saturation) == ("has-capacity", None)


def test_a_shed_request_names_a_configured_detector_and_what_it_measured(build_pool: Any, objects: Any) -> None:
    pool = build_pool((10, 0.1, set()), resources=(objects.objective("batch", -1),))
    text = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: concurrency-detector}]\n"
    text += "saturationDetector: {pluginRef: concurrency-detector}\n"
    policy = load_policy(text, name="test")
    pool.columns.inflight[pool.rows] = 500.0
    refusal = refused(pool, arrival(objective="batch"), policy_rules(policy, pool))
    assert refusal.detector == "concurrency-detector"
    assert refusal.saturation is not None
    assert refusal.saturation >= 1


def test_a_filter_that_leaves_nobody_is_a_refusal_with_its_steps(build_pool: Any) -> None:
    pool = build_pool((0, 0, set()), (0, 0, set()))
    text = (
        "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
        "plugins: [{type: label-selector-filter, parameters: {matchLabels: {zone: a}}}]\n"
        "schedulingProfiles: [{name: default, plugins: [{pluginRef: label-selector-filter}]}]\n"
    )
    refusal = refused(pool, arrival(), policy_rules(load_policy(text, name="test"), pool))
    assert [(step.plugin, step.before, step.after) for step in refusal.steps][-1] == ("label-selector-filter", 2, 0)


@pytest.mark.parametrize("journal", [None, Notes()])
def test_what_the_transport_refuses_by_itself_is_noted_too(build_pool: Any, journal: Notes | None) -> None:
    director = Director(build_pool((0, 0, set())), guide_rules(), journal=journal)
    refusal = refuse(413, "BadRequest", "too large", type="invalid_request_error", error_code="request_too_large")
    assert director.turn_away(Arrival(COMPLETIONS, None, "r-1"), refusal, 3.0) is refusal
    if journal is not None:
        assert [(found.request_id, found.status) for found in journal.refusals] == [("r-1", 413)]


def test_an_observer_that_fails_does_not_keep_the_end_from_the_journal(build_pool: Any) -> None:
    class Failing(SilentObserver):
        def finished(self, ticket: Ticket, completion: Completion, now: float) -> None:
            raise OverflowError("too many tokens")

    notes = Notes()
    director = Director(build_pool((0, 0, set())), guide_rules(), observer=Failing(), journal=notes)
    outcome = director.arrive(arrival(), 3.0)
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    with pytest.raises(OverflowError):
        director.finish(outcome.ticket, 5.0, outcome="complete", status=200)
    assert [ticket.finished_at for ticket in notes.ended] == [5.0]
