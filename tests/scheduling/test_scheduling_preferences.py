"""What states a preference gives way to what is binding, wherever it stands, and a decision says so."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.pool import Columns, Rows
from signalbox.scheduling import Cycle, Decision, Policy, Profile, load_policy
from signalbox.scheduling.framework import FEW
from signalbox.scheduling.pickers import MaxScorePicker
from signalbox.scheduling.runs import ArrayRun, ListRun

ROWS = 6
BOUND_TO_POD_1 = {"x-session-token": "ZGVmYXVsdC9wb2QtMQ=="}

Kept = tuple[bool, frozenset[int] | None]
"""Whether a filter states a preference, and whom it keeps; ``None`` for one that raises."""


class Only:
    """Keeps the rows of a set."""

    def __init__(self, name: str, rows: frozenset[int] | None) -> None:
        self.name = name
        self.rows = rows

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return those of the set."""
        return np.array(self.keep_few(cycle, rows.tolist()), np.intp)

    def keep_few(self, cycle: Cycle, rows: list[int]) -> list[int]:
        """Return the same."""
        del cycle
        if self.rows is None:
            raise RuntimeError("out of order")
        return [row for row in rows if row in self.rows]


def profile_of(filters: list[Kept], endpoints: int = 1) -> Profile:
    """A profile of these filters, named after what they are and where they stand."""
    named = [
        Only(f"{'prefers' if prefers else 'binds'} {place}", rows) for place, (prefers, rows) in enumerate(filters)
    ]
    binding = [place for place, (prefers, _) in enumerate(filters) if not prefers]
    return Profile(
        named,
        (),
        MaxScorePicker(),
        endpoints=endpoints,
        name="p",
        binding=max(binding, default=-1) + 1,
        preferences=frozenset(range(len(filters))).difference(binding),
    )


def decide(profile: Profile) -> tuple[tuple[int, ...] | None, list[str]]:
    """Whom a profile chooses among six and what it says, the same over lists and over arrays."""

    def told(run: ArrayRun | ListRun, rows: Any) -> tuple[tuple[int, ...] | None, list[str]]:
        cycle = Cycle("m", 0, Columns(), random.Random(3), [])
        decision: Decision | None = run.schedule(cycle, rows)
        steps = [f"{step.plugin} {step.before}->{step.after}" for step in cycle.steps]
        return None if decision is None else decision.rows, steps

    over_lists = told(ListRun(profile), list(range(ROWS)))
    assert told(ArrayRun(profile), np.arange(ROWS)) == over_lists
    return over_lists


def keeps(*rows: int) -> frozenset[int]:
    return frozenset(rows)


class TestBindingAfterPreference:
    def test_a_binding_filter_that_finds_nobody_is_asked_before_the_preferences(self) -> None:
        chosen, steps = decide(profile_of([(True, keeps(1, 2)), (False, keeps(0, 3))], endpoints=3))
        assert chosen is not None
        assert sorted(chosen) == [0, 3]
        assert steps == [
            "prefers 0 6->2",
            "binds 1 2->0",
            "binds 1 leaves nobody that prefers 0 kept: begins again 0->6",
            "binds 1 6->2",
            "prefers 0 2->0",
            "max-score-picker 2->2",
        ]

    def test_preferences_that_still_find_somebody_are_kept(self) -> None:
        filters: list[Kept] = [(True, keeps(1, 2)), (True, keeps(2, 3, 4)), (False, keeps(0, 3, 4, 5))]
        chosen, steps = decide(profile_of(filters))
        assert chosen is not None
        assert chosen[0] in (3, 4)
        assert steps[-4:-1] == ["binds 2 6->4", "prefers 0 4->0", "prefers 1 4->2"]

    def test_filters_behind_go_on_with_what_is_left(self) -> None:
        chosen, _ = decide(profile_of([(True, keeps(1)), (False, keeps(0, 3)), (False, keeps(3, 5))]))
        assert chosen == (3,)

    def test_nobody_is_left_where_binding_filters_alone_leave_nobody(self) -> None:
        chosen, steps = decide(profile_of([(False, keeps(1, 2)), (True, keeps(1)), (False, keeps(3))]))
        assert chosen is None
        assert steps[-2:] == ["binds 0 6->2", "binds 2 2->0"]

    def test_nothing_is_tried_again_where_no_preference_left_anyone_out(self) -> None:
        chosen, steps = decide(profile_of([(True, keeps(*range(ROWS))), (False, keeps())]))
        assert chosen is None
        assert steps == ["prefers 0 6->6", "binds 1 6->0"]

    def test_a_filter_that_raises_is_left_out_the_second_time_too(self) -> None:
        chosen, _ = decide(profile_of([(True, keeps(1)), (False, None), (False, keeps(4))]))
        assert chosen == (4,)


def test_a_preference_that_nobody_meets_is_none() -> None:
    chosen, steps = decide(profile_of([(False, keeps(2, 4)), (True, keeps(5))], endpoints=2))
    assert chosen is not None
    assert sorted(chosen) == [2, 4]
    assert steps[:2] == ["binds 0 6->2", "prefers 1 2->0"]


SETS = st.frozensets(st.integers(0, ROWS - 1), max_size=4)


@given(filters=st.lists(st.tuples(st.booleans(), SETS), max_size=5), endpoints=st.integers(1, 4))
def test_there_is_a_decision_if_and_only_if_the_binding_filters_leave_somebody(
    filters: list[Kept], endpoints: int
) -> None:
    chosen, _ = decide(profile_of(filters, endpoints))
    allowed = frozenset(range(ROWS)).intersection(
        *[rows for prefers, rows in filters if not prefers and rows is not None]
    )
    assert (chosen is not None) is bool(allowed)
    assert allowed.issuperset(chosen or ()), "nor a fallback that a binding filter left out"
    if chosen is not None:
        wanted = allowed.intersection(*[rows for prefers, rows in filters if prefers and rows is not None])
        assert not wanted or chosen[0] in wanted, "preferences that can all be met are"


def policy(*plugins: str) -> Policy:
    listed = ", ".join([f"{{{plugin}}}" for plugin in plugins])
    return load_policy(
        f"apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{listed}]\n", name="epp.yaml"
    )


@pytest.mark.parametrize("count", [3, FEW + 1])
def test_a_session_bound_to_a_prefill_server_is_decoded_elsewhere(world: Any, count: int) -> None:
    roles = [{"llm-d.ai/role": "prefill"}] * 2 + [{"llm-d.ai/role": "decode"}] * (count - 2)
    state = world(count, labels=roles)
    built = policy("type: session-affinity-filter", "type: decode-filter", "type: queue-scorer")
    decision = built.schedule(state.cycle(headers=BOUND_TO_POD_1), state.rows)
    assert decision is not None
    assert all(row >= 2 for row in decision.rows)
    told = "decode-filter leaves nobody that session-affinity-filter kept: begins again"
    assert told in [step.plugin for step in decision.steps]


def test_an_endpoint_that_answers_scrapes_is_no_way_around_a_label(world: Any) -> None:
    zones = [{"zone": "a"}, {"zone": "a"}, {"zone": "b"}]
    state = world(3, labels=zones, failed_scrapes=[9, 9, 0])
    built = policy("type: reachable", "type: label-selector-filter, parameters: {matchLabels: {zone: a}}")
    decision = built.schedule(state.cycle(), state.rows)
    assert decision is not None
    assert set(decision.rows) == {0, 1}
