"""Decisions in which something went wrong: a plugin failed, filters left nobody, several profiles picked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.observability.deciding import SCORERS, Deciding, arrival

from signalbox.observability import DecisionLog
from signalbox.observability.decisions import WIDE
from signalbox.scheduling.faults import LONGEST
from signalbox.scheduling.filters.reachable import Reachable
from signalbox.scheduling.pickers.max_score import MaxScorePicker
from signalbox.scheduling.scorers.queue import QueueScorer


def fail(*_: object) -> Any:
    raise RuntimeError("no such table")


def steps(view: dict[str, Any]) -> dict[str, Any]:
    return {step["plugin"]: step for step in view["steps"]}


def test_a_scorer_that_failed_is_a_step_that_says_so(build_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueScorer, "score", fail)
    monkeypatch.setattr(QueueScorer, "score_few", fail)
    made = Deciding(build_pool((0, 0, set()), (9, 0, set())), SCORERS)
    made.route(arrival())
    view = made.view()
    assert steps(view)["queue-scorer"]["fault"] == "RuntimeError: no such table"
    assert steps(view)["prefix-cache-scorer"]["fault"] is None
    assert [scorer["name"] for scorer in view["profiles"][0]["scorers"]] == ["prefix-cache-scorer"]


def test_a_filter_that_failed_left_out_nobody_and_says_why(build_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reachable, "keep", fail)
    monkeypatch.setattr(Reachable, "keep_few", fail)
    made = Deciding(build_pool((0, 0, set()), (9, 0, set())))
    made.route(arrival())
    step = steps(made.view())["reachable"]
    assert (step["before"], step["after"], step["fault"]) == (2, 2, "RuntimeError: no such table")


def test_a_picker_that_failed_is_not_said_to_have_picked(build_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MaxScorePicker, "pick", fail)
    monkeypatch.setattr(MaxScorePicker, "pick_few", fail)
    made = Deciding(build_pool((0, 0, set()), (0, 0, set())), SCORERS)
    made.route(arrival())
    view = made.view()
    assert steps(view)["max-score-picker"]["fault"] == "RuntimeError: no such table"
    assert "picked by the fewest requests in flight, for max-score-picker failed, among the 2" in view["why"]


def test_of_a_long_fault_the_beginning_is_kept(build_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lengthy(*_: object) -> Any:
        raise RuntimeError("x" * 10_000)

    monkeypatch.setattr(QueueScorer, "score", lengthy)
    monkeypatch.setattr(QueueScorer, "score_few", lengthy)
    made = Deciding(build_pool((0, 0, set()), (9, 0, set())), SCORERS)
    made.route(arrival())
    assert len(steps(made.view())["queue-scorer"]["fault"]) == LONGEST


def test_a_fault_is_kept_where_scores_are_not(build_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueScorer, "score", fail)
    made = Deciding(build_pool(*[(0, 0, set())] * (WIDE + 1)), SCORERS)
    made.route(arrival())
    view = made.view()
    assert not view["scores_kept"]
    assert steps(view)["queue-scorer"]["fault"] == "RuntimeError: no such table"


LABELLED = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: label-selector-filter, parameters: {matchLabels: {role: decode}}}
- {type: queue-scorer}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: label-selector-filter}, {pluginRef: queue-scorer}]}
"""


def test_a_refusal_names_whom_the_filters_left_out(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set()), (9, 0, set())), LABELLED)
    made.refuse(arrival())
    (step,) = made.view()["steps"]
    assert (step["plugin"], step["before"], step["after"]) == ("label-selector-filter", 2, 0)
    assert step["dropped"] == ["pod-0", "pod-1"]


def test_a_refusal_by_a_wide_pool_is_kept_without_names(build_pool: Any) -> None:
    pool = build_pool(*[(0, 0, set())] * (WIDE + 1))
    made = Deciding(pool, LABELLED, DecisionLog(pool))
    made.refuse(arrival())
    (step,) = made.view()["steps"]
    assert (step["before"], step["after"], step["dropped"]) == (WIDE + 1, 0, [])


def test_with_several_profiles_why_names_the_picker_of_the_one_that_chose(build_pool: Any) -> None:
    config = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: disagg-profile-handler, parameters: {deciders: {prefill: always}}}
- {type: always-disagg-pd-decider, name: always}
- {type: queue-scorer}
- {type: max-score-picker, name: decode-picker}
- {type: random-picker, name: prefill-picker}
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: queue-scorer}, {pluginRef: decode-picker}]}
- {name: prefill, plugins: [{pluginRef: queue-scorer}, {pluginRef: prefill-picker}]}
"""
    made = Deciding(build_pool((0, 0, set()), (0, 0, set())), config)
    made.route(arrival())
    assert "picked by decode-picker among the 2 with the highest total" in made.view()["why"]


def test_a_pick_of_fallbacks_is_not_the_choice(build_pool: Any) -> None:
    """Of three, the tree leaves one; its picker is asked once more for fallbacks, and that is the last step."""
    made = Deciding(build_pool((0, 0.2, set()), (0, 0.9, set()), (9, 0.1, set())))
    made.route(arrival())
    picks = [step for step in made.view()["steps"] if step["plugin"] == "max-score-picker"]
    assert [pick["before"] for pick in picks] == [1, 2]
    assert made.view()["why"] == "pod-0 won: has-capacity left nobody else"
