"""A kept decision as a reader sees it: the readings at that moment, the scores, the steps, and one sentence of why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.observability.deciding import SCORERS, Deciding, arrival, wall

from signalbox.observability.candidates import Candidates
from signalbox.observability.decision_view import decision_summary, decision_view, timestamp
from signalbox.observability.decisions import WIDE, Record
from signalbox.observability.trail import MOST_DROPPED, dropped_by, told_steps
from signalbox.payloads import Usage
from signalbox.pool import Readings, Rows
from signalbox.scheduling import Step

LONG = "word " * 400


def table(view: dict[str, Any], profile: int = 0) -> dict[str, dict[str, Any]]:
    return {endpoint["name"]: endpoint for endpoint in view["profiles"][profile]["endpoints"]}


def test_the_head_says_what_was_asked_and_what_was_decided(build_pool: Any, objects: Any) -> None:
    pool = build_pool(
        (5, 0.1, set()),
        (0, 0.1, set()),
        resources=(objects.model("m", (("v1", 1),)), objects.objective("batch", 3)),
    )
    made = Deciding(pool)
    made.route(arrival(objective="batch"), 2.5)
    view = made.view()
    expected = {
        "outcome": "routed",
        "request_id": "r-1",
        "time": "1970-01-01T00:00:02.500Z",
        "model": "m",
        "target": "v1",
        "rewrite": "",
        "priority": 3,
        "objective": "batch",
        "stream": True,
        "candidates": 2,
        "profile": "guide",
        "chosen": "pod-1",
        "address": "192.168.1.2:8000",
        "fallbacks": ["pod-0"],
        "served_by": None,
        "stages": {},
        "end": None,
        "scores_kept": True,
    }
    assert {name: view[name] for name in expected} == expected
    assert view["decision_us"] == 1e6  # the stopwatch of these tests counts seconds


def test_readings_are_those_of_the_decision_and_not_those_of_now(build_pool: Any) -> None:
    made = Deciding(build_pool((3, 0.25, set()), (7, 0.5, set())), SCORERS)
    made.route(arrival("earlier"))
    made.route(arrival())
    first, second = made.pool.endpoints
    for endpoint in (first, second):
        made.pool.record(endpoint, Readings(waiting=50, running=9, kv_usage=0.9), made.pool.begin_scrape(endpoint), 1.0)
        made.pool.acquire(endpoint, 1000)
    rows = table(made.view())
    assert (rows["pod-0"]["queue"], rows["pod-0"]["in_flight"], rows["pod-0"]["kv_usage"]) == (4, 1, 0.25)
    assert (rows["pod-1"]["queue"], rows["pod-1"]["in_flight"], rows["pod-1"]["kv_usage"]) == (7, 0, 0.5)


def test_names_are_those_of_the_decision_even_when_rows_have_new_owners(build_pool: Any, objects: Any) -> None:
    made = Deciding(build_pool((0, 0, set())))
    made.end(made.route(arrival()), 1.0)
    made.pool.remove(objects.pod("pod-0", "192.168.1.1").key)
    assert not made.pool.endpoints
    made.pool.put(objects.pod("successor", "192.168.1.9"))
    assert made.pool.endpoints[0].row == 0
    assert made.view()["chosen"] == "pod-0"


def test_scores_are_weighted_and_add_up_to_the_total(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set()), (4, 0, set()), (2, 0, set())), SCORERS)
    made.end(made.route(arrival("warm", LONG)), 0.5)
    made.route(arrival(prompt=LONG), 1.0)
    view = made.view()
    assert view["profiles"][0]["scorers"] == [
        {"name": "queue-scorer", "weight": 2.0},
        {"name": "prefix-cache-scorer", "weight": 3.0},
    ]
    rows = table(view)
    assert rows["pod-0"]["scores"]["queue-scorer"] == 2.0
    assert rows["pod-2"]["scores"]["queue-scorer"] == 1.0
    assert rows["pod-0"]["scores"]["prefix-cache-scorer"] == pytest.approx(3.0, abs=0.1)
    assert rows["pod-0"]["prefix_tokens"] > 400
    assert rows["pod-1"]["prefix_tokens"] == 0
    for row in rows.values():
        assert sum(row["scores"].values()) == pytest.approx(row["total"], abs=1e-3)
    assert [row["place"] for row in rows.values()] == [0, 1, 2]
    assert view["prefix"]["tokens"] >= view["prefix_tokens"] == rows["pod-0"]["prefix_tokens"]
    assert view["why"].startswith("pod-0 won: highest total 5, prefix ")
    assert view["why"].endswith("next pod-2 1")


def test_many_endpoints_are_cut_after_the_best(build_pool: Any) -> None:
    made = Deciding(build_pool(*[(float(number), 0, set()) for number in range(20)]), SCORERS)
    made.route(arrival())
    (profile,) = made.view(most=5)["profiles"]
    assert [row["name"] for row in profile["endpoints"]] == [f"pod-{number}" for number in range(5)]
    assert profile["endpoints_more"] == 15


def test_a_served_fallback_is_named_beside_the_choice(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set()), (5, 0, set())))
    ticket = made.route(arrival())
    made.director.served(ticket, "192.168.1.2:8000")
    view = made.view()
    assert (view["chosen"], view["served_by"]) == ("pod-0", "pod-1")


def test_the_end_has_times_and_tokens(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set())))
    ticket = made.route(arrival(), 1.0)
    made.director.first_byte(ticket, 1.25)
    made.end(ticket, 3.0, usage=Usage(50, 11, 48))
    assert made.view()["end"] == {
        "outcome": "complete",
        "status": 200,
        "seconds": 2.0,
        "ttft_seconds": 0.25,
        "prompt_tokens": 50,
        "completion_tokens": 11,
        "cached_tokens": 48,
        "response_bytes": 10,
    }


def test_an_end_without_usage_or_first_byte_has_gaps(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set())))
    made.end(made.route(arrival(), 1.0), 3.0, "cancelled")
    end = made.view()["end"]
    assert (end["outcome"], end["ttft_seconds"], end["completion_tokens"]) == ("cancelled", None, None)


def test_a_refusal_says_status_reason_and_what_was_measured(build_pool: Any, objects: Any) -> None:
    made = Deciding(build_pool((9, 0.9, set()), resources=(objects.objective("batch", -1),)))
    outcome = made.refuse(arrival(objective="batch"), 2.0)
    view = made.view()
    assert view["why"] == outcome.message
    expected = {
        "outcome": "refused",
        "request_id": "r-1",
        "time": "1970-01-01T00:00:02.000Z",
        "priority": -1,
        "objective": "batch",
        "candidates": 1,
        "status": 429,
        "code": "InferencePoolResourceExhausted",
        "detector": "has-capacity",
        "saturation": None,
    }
    assert {name: view[name] for name in expected} == expected


def test_a_summary_is_the_view_without_the_tables(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set()), (5, 0, set())), SCORERS)
    made.route(arrival())
    made.refuse(arrival("r-2", model=""))
    routed, refused = made.log
    whole, short = decision_view(routed, wall), decision_summary(routed, wall)
    assert whole.keys() - short.keys() == {"steps", "prefix", "profiles", "scores_kept"}
    assert short == {name: whole[name] for name in short}
    assert decision_summary(refused, wall) == decision_view(refused, wall)


class TestWhy:
    def test_the_only_candidate(self, build_pool: Any) -> None:
        made = Deciding(build_pool((0, 0, set())))
        made.route(arrival())
        assert made.view()["why"] == "pod-0 won: it was the only candidate"

    def test_the_only_one_a_filter_left(self, build_pool: Any) -> None:
        made = Deciding(build_pool((0, 0, set()), (5, 0, set())))
        made.route(arrival())
        assert made.view()["why"] == "pod-0 won: least-queuing left nobody else"

    def test_one_of_equals_is_the_pickers_choice(self, build_pool: Any) -> None:
        made = Deciding(build_pool((0, 0, set()), (0, 0, set()), (50, 0, set())))
        name = made.route(arrival()).endpoint.name
        expected = f"{name} won: picked by max-score-picker among the 2 that the filters left"
        assert made.view()["why"] == f"{expected}; 0 of our requests were in flight there"

    def test_one_of_equals_where_no_filter_told_them_apart(self, build_pool: Any) -> None:
        made = Deciding(build_pool((0, 0, set()), (0, 0, set())))
        name = made.route(arrival()).endpoint.name
        assert made.view()["why"].startswith(
            f"{name} won: picked by max-score-picker among 2 that no filter told apart"
        )

    def test_a_tie_of_scores(self, build_pool: Any) -> None:
        made = Deciding(build_pool((0, 0, set()), (0, 0, set())), SCORERS)
        name = made.route(arrival()).endpoint.name
        why = made.view()["why"]
        assert why.startswith(
            f"{name} won: picked by max-score-picker among the 2 with the highest total, 2, prefix 0 of"
        )

    def test_a_picker_that_does_not_take_the_highest(self, build_pool: Any) -> None:
        config = SCORERS.replace(
            "{type: prefix-cache-scorer}]", "{type: prefix-cache-scorer}, {type: weighted-random-picker}]"
        ).replace("weight: 3}]", "weight: 3}, {pluginRef: weighted-random-picker}]")
        made = Deciding(build_pool((0, 0, set()), (10, 0, set()), (9, 0, set())), config)
        reasons = set()
        for number in range(60):
            ticket = made.route(arrival(str(number)))
            if ticket.endpoint.name == "pod-2":
                reasons.add(made.view(str(number))["why"].split(" with a total of")[0])
            made.end(ticket, 1.0, "cancelled")
        assert reasons == {"pod-2 was picked by weighted-random-picker"}

    def test_scores_that_were_not_kept(self, build_pool: Any) -> None:
        made = Deciding(build_pool(*[(0, 0, set())] * (WIDE + 1)))
        made.route(arrival())
        view = made.view()
        assert not view["scores_kept"]
        assert view["profiles"] == []
        assert "its scores were not kept" in view["why"]


class TestSteps:
    def test_every_filter_says_whom_it_left_out(self, build_pool: Any) -> None:
        made = Deciding(build_pool((0, 0.2, set()), (0, 0.9, set()), (9, 0.1, set())))
        made.route(arrival())
        steps = {step["plugin"]: (step["before"], step["after"], step["dropped"]) for step in made.view()["steps"]}
        assert steps["reachable"] == (3, 3, [])
        assert steps["has-capacity"] == (3, 1, ["pod-1", "pod-2"])
        assert steps["decision-tree"] == (3, 1, ["pod-1", "pod-2"])
        assert steps["max-score-picker"][2] == []
        rows = table(made.view())
        assert {name: row["dropped_by"] for name, row in rows.items()} == {
            "pod-0": None,
            "pod-1": "has-capacity",
            "pod-2": "has-capacity",
        }

    def test_a_branch_that_left_nobody_did_not_leave_anyone_out(self) -> None:
        rows = np.arange(3)
        nobody, two = rows[:0], rows[:2]
        steps = (Step("branch", 3, 0, nobody), Step("other", 3, 2, two), Step("tree", 3, 2, two))
        assert dropped_by(steps, rows) == {2: "other"}

    def test_a_second_profile_begins_with_all_candidates_again(self) -> None:
        rows = np.arange(4)
        steps = (Step("decode", 4, 2, rows[:2]), Step("pick", 2, 1), Step("prefill", 4, 1, rows[3:]))
        told = told_steps(steps, rows, str)
        assert [step["dropped"] for step in told] == [["2", "3"], [], ["0", "1", "2"]]

    def test_many_names_are_cut(self) -> None:
        rows = np.arange(100)
        (step,) = told_steps((Step("f", 100, 1, rows[:1]),), rows, str)
        assert (len(step["dropped"]), step["dropped_more"]) == (MOST_DROPPED, 99 - MOST_DROPPED)

    @given(st.lists(st.sets(st.integers(0, 9)), max_size=6))
    def test_in_a_chain_of_filters_everyone_is_left_out_once_by_the_first(self, kept: list[set[int]]) -> None:
        candidates: Rows = np.arange(10)
        rows, steps, expected = set(range(10)), [], dict[int, str]()
        for number, keeping in enumerate(kept):
            left = rows & keeping
            steps.append(Step(f"f{number}", len(rows), len(left), np.array(sorted(left), np.intp)))
            if not left:
                break
            expected |= dict.fromkeys(rows - left, f"f{number}")
            rows = left
        assert dropped_by(steps, candidates) == expected


def test_several_profiles_have_a_table_each(build_pool: Any) -> None:
    config = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: disagg-profile-handler, parameters: {deciders: {prefill: always}}}, {type: always-disagg-pd-decider, name: always}, {type: queue-scorer}]
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: queue-scorer}]}
- {name: prefill, plugins: [{pluginRef: queue-scorer}]}
"""  # noqa: E501
    made = Deciding(build_pool((0, 0, set()), (5, 0, set())), config)
    made.route(arrival())
    view = made.view()
    assert [profile["profile"] for profile in view["profiles"]] == ["decode", "prefill"]
    assert view["stages"] == {"prefill": ["pod-0"]}
    assert [(step["profile"], step["plugin"]) for step in view["steps"]] == [
        (profile, plugin)
        for profile in ("decode", "prefill")
        for plugin in ("reachable", "queue-scorer", "max-score-picker")
    ]
    assert table(view, 1)["pod-0"]["place"] == 0


class TestProfilesOfSteps:
    rows = np.arange(4)
    decode, prefill = rows[:2], rows[3:]

    def test_a_step_tells_its_profile_whether_that_picked_somebody_or_found_nobody(self) -> None:
        steps = (
            Step("lists-the-model", 4, 4),
            Step("decode-filter", 4, 2, self.decode),
            Step("picker", 2, 1, ends="decode", begun=1),
            Step("picker", 2, 1, ends="decode", begun=1),
            Step("prefill-filter", 4, 1, self.prefill),
            Step("label", 1, 0, self.rows[:0], ends="prefill", begun=4),
        )
        told = [step["profile"] for step in told_steps(steps, self.rows, str)]
        assert told == [None, "decode", "decode", "decode", "prefill", "prefill"]

    def test_a_run_that_broke_off_has_no_name(self) -> None:
        steps = (
            Step("decode-filter", 4, 2, self.decode),
            Step("handler", 4, 4),
            Step("picker", 4, 1, ends="p", begun=2),
        )
        assert [step["profile"] for step in told_steps(steps, self.rows, str)] == [None, None, "p"]

    def test_what_left_an_endpoint_out_of_one_profile_did_not_leave_it_out_of_another(self) -> None:
        steps = (
            Step("able", 4, 3, self.rows[1:]),
            Step("decode-filter", 3, 1, self.rows[1:2]),
            Step("picker", 1, 1, ends="decode", begun=1),
            Step("prefill-filter", 3, 1, self.prefill),
            Step("picker", 1, 1, ends="prefill", begun=3),
        )
        assert dropped_by(steps, self.rows, "decode") == {0: "able", 2: "decode-filter", 3: "decode-filter"}
        assert dropped_by(steps, self.rows, "prefill") == {0: "able", 1: "prefill-filter", 2: "prefill-filter"}

    def test_where_a_profile_began_again_what_came_before_left_nobody_out(self) -> None:
        steps = (
            Step("session", 4, 1, self.prefill),
            Step("label", 1, 0, self.rows[:0]),
            Step("begins again", 0, 4, self.rows),
            Step("label", 4, 2, self.decode),
        )
        assert dropped_by(steps, self.rows) == {2: "label", 3: "label"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_json_cannot_hold_is_null(build_pool: Any, value: float) -> None:
    made = Deciding(build_pool((0, 0, set()), (5, 0, set())), SCORERS)
    made.route(arrival())
    (entry,) = made.log
    assert isinstance(entry, Record)
    entry.decision.scores[0].totals[1] = value
    assert table(made.view())["pod-1"]["total"] is None


def test_an_endpoint_that_is_not_known_any_more_is_a_row(build_pool: Any) -> None:
    made = Deciding(build_pool((0, 0, set())))
    made.route(arrival())
    (entry,) = made.log
    assert isinstance(entry, Record)
    candidates = Candidates(entry)
    assert (candidates.names(7), candidates.address(7), candidates.in_flight(700)) == ("row 7", None, None)


@given(st.floats(0, 4e9))
def test_times_are_rfc_3339_in_utc(seconds: float) -> None:
    assert len(timestamp(seconds)) == len("1970-01-01T00:00:00.500Z")
    assert timestamp(seconds).endswith("Z")
