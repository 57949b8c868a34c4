"""While one revision replaces another, the servers of a request are all of one of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from signalbox.pool import Endpoint
from signalbox.scheduling import InvalidPolicy, Policy, load_policy
from signalbox.scheduling.screeners import RolloutScreener

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
SET, REVISION, ROLE, SLICE = [f"disaggregatedset.x-k8s.io/{name}" for name in ("name", "revision", "role", "slice")]
SELECTORS = f"""headerSelectors:
    - {{name: revision, headerName: x-disagg-revision, labelKey: {REVISION}, mode: strict}}
    - {{name: slice, headerName: x-disagg-slice, labelKey: {SLICE}, mode: prefer}}"""


def policy(mode: str = "max-role", scope: str = f"{SET}=my-set", selectors: str = SELECTORS) -> Policy:
    roles = "" if mode == "disabled" else ", requireRoles: {values: [prefill, decode]}"
    text = f"""plugins:
- type: disaggregatedset-rollout-screener
  parameters:
    scope: {{labelSelector: "{scope}"}}
    {selectors}
    revisionGating: {{mode: {mode}{roles}}}
- type: decode-filter
- type: prefill-filter
- type: always-disagg-pd-decider
- type: disagg-profile-handler
  parameters: {{deciders: {{prefill: always-disagg-pd-decider}}}}
schedulingProfiles:
- {{name: decode, plugins: [{{pluginRef: decode-filter}}]}}
- {{name: prefill, plugins: [{{pluginRef: prefill-filter}}]}}
"""
    return load_policy(HEAD + text, name="epp.yaml")


def pods(**counts: tuple[int, int]) -> list[dict[str, str]]:
    """For each revision so many prefill and decode pods."""
    return [
        {SET: "my-set", REVISION: revision, ROLE: role, SLICE: f"s{number % 2}", "llm-d.ai/role": role}
        for revision, sizes in counts.items()
        for role, size in zip(("prefill", "decode"), sizes, strict=True)
        for number in range(size)
    ]


def revisions(state: Any, made: Policy, count: int = 600, **headers: str) -> Counter[str | None]:
    """How often which revision served, every stage of it."""
    found: Counter[str | None] = Counter()
    for seed in range(count):
        cycle = state.cycle(seed=seed, headers=headers)
        decision = made.schedule(cycle, state.rows)
        if decision is None:
            found[None] += 1
            continue
        rows = [*decision.rows, *decision.stages["prefill"]]
        (revision,) = {state.endpoints[row].labels[REVISION] for row in rows}
        found[revision] += 1
        assert decision.response_headers["x-disagg-revision"] == revision
        assert decision.response_headers["x-disagg-slice"] == state.endpoints[decision.rows[0]].labels[SLICE]
    assert not made.faults
    return found


@pytest.mark.parametrize(("mode", "share"), [("max-role", 0.9), ("sum", 11 / 13)])
def test_a_revision_gets_its_share_by_its_pods(world: Any, mode: str, share: float) -> None:
    labels = pods(a=(2, 9), b=(1, 1))
    found = revisions(world(len(labels), labels=labels), policy(mode))
    assert found["a"] / found.total() == pytest.approx(share, abs=0.03)
    assert set(found) == {"a", "b"}


def test_the_role_of_which_there_are_most_is_the_same_for_all_revisions(world: Any) -> None:
    labels = pods(a=(4, 6), b=(4, 1))  # 8 prefill servers, 7 decode servers
    found = revisions(world(len(labels), labels=labels), policy())
    assert found["a"] / found.total() == pytest.approx(0.5, abs=0.05)


def test_of_equally_many_the_first_role_of_the_list_counts(world: Any) -> None:
    labels = pods(a=(3, 1), b=(1, 3))
    found = revisions(world(len(labels), labels=labels), policy())
    assert found["a"] / found.total() == pytest.approx(0.75, abs=0.05)


def test_a_revision_that_lacks_a_role_gets_nothing(world: Any) -> None:
    labels = pods(a=(1, 2), b=(0, 8))
    assert revisions(world(len(labels), labels=labels), policy(), 50) == {"a": 50}
    alone = pods(b=(0, 8))
    assert revisions(world(8, labels=alone), policy(), 5) == {None: 5}


def test_ranks_of_a_pod_count_once(world: Any) -> None:
    labels = pods(a=(1, 4), b=(1, 1))
    state = world(len(labels), labels=labels)
    state.endpoints = {
        row: Endpoint(f"r{row}", "default", "a-decode" if 1 <= row <= 4 else f"pod-{row}", f"10.0.0.{row}", 8000, row,
                      endpoint.labels)
        for row, endpoint in state.endpoints.items()
    }  # fmt: skip
    found = revisions(state, policy("sum"))
    assert found["a"] / found.total() == pytest.approx(0.5, abs=0.05)


def test_pods_of_another_set_are_not_counted(world: Any) -> None:
    labels = [*pods(a=(1, 1), b=(1, 1)), *[{**label, SET: "other"} for label in pods(a=(1, 9))]]
    found = revisions(world(len(labels), labels=labels), policy())
    assert found["a"] / found.total() == pytest.approx(0.5, abs=0.05)


class TestAHeader:
    def test_that_names_a_revision_is_obeyed(self, world: Any) -> None:
        labels = pods(a=(2, 9), b=(1, 1))
        state = world(len(labels), labels=labels)
        assert revisions(state, policy(), 20, **{"x-disagg-revision": "b"}) == {"b": 20}

    @pytest.mark.parametrize("named", ["c", "b"])
    def test_that_names_one_that_is_not_there_or_not_whole_leaves_nobody(self, world: Any, named: str) -> None:
        labels = pods(a=(2, 9), b=(0, 1))
        state = world(len(labels), labels=labels)
        made = policy()
        assert revisions(state, made, 3, **{"x-disagg-revision": named}) == {None: 3}
        cycle = state.cycle(headers={"x-disagg-revision": named})
        made.schedule(cycle, state.rows)
        assert [(step.plugin, step.after) for step in cycle.steps] == [("disaggregatedset-rollout-screener", 0)]

    def test_that_is_only_preferred_leaves_everybody(self, world: Any) -> None:
        labels = pods(a=(2, 2))
        state = world(len(labels), labels=labels)
        assert revisions(state, policy(), 5, **{"x-disagg-slice": "s9"}) == {"a": 5}


def test_disabled_it_follows_headers_and_sets_them(world: Any) -> None:
    labels = pods(a=(0, 1), b=(1, 1))
    state = world(len(labels), labels=labels)
    made = policy("disabled")
    decision = made.schedule(state.cycle(headers={"x-disagg-revision": "a"}), state.rows)
    assert decision is not None
    assert decision.rows == (0,)
    assert not decision.stages, "there is no prefill server of that revision"
    served = made.moved(state.cycle(), decision, 2)
    assert served["x-disagg-revision"] == "b"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({"mode": "sum", "scope": "a"}, "'a' is not 'label=value'"),
        ({"mode": "sum", "scope": "a!=b"}, "'a!=b' is not 'label=value'"),
        ({"mode": "most"}, "must be one of sum, max-role, disabled"),
    ],
)
def test_what_cannot_be_meant_is_told(made: dict[str, str], expected: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        policy(**made)
    assert expected in str(caught.value)


def test_a_gate_needs_roles() -> None:
    text = (
        "plugins: [{type: disaggregatedset-rollout-screener, parameters:"
        " {scope: {labelSelector: a=b}, revisionGating: {mode: sum}}}]"
    )
    with pytest.raises(InvalidPolicy, match="must hold at least one role for sum"):
        load_policy(HEAD + text, name="x")


def test_a_revision_of_which_no_candidate_is_left_is_not_drawn(world: Any) -> None:
    labels = pods(a=(1, 1), b=(1, 9))
    state = world(len(labels), labels=labels)
    made = policy()
    for seed in range(10):
        decision = made.schedule(state.cycle(seed=seed), state.rows[:2])
        assert decision is not None
        assert decision.rows == (1,)


def test_a_screener_that_fails_is_left_out_and_counted(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = pods(a=(1, 1), b=(1, 1))
    state = world(len(labels), labels=labels)
    made = policy()
    monkeypatch.setattr(RolloutScreener, "keep", lambda self, cycle, rows: rows + 50)
    cycle = state.cycle()
    assert made.schedule(cycle, state.rows) is not None
    assert made.faults == {"disaggregatedset-rollout-screener": 1}
    assert cycle.steps[0].fault


def test_in_a_profile_it_is_noted() -> None:
    text = f"""plugins:
- type: disaggregatedset-rollout-screener
  parameters: {{scope: {{labelSelector: "{SET}=x"}}, revisionGating: {{mode: disabled}}}}
schedulingProfiles: [{{name: a, plugins: [{{pluginRef: disaggregatedset-rollout-screener}}]}}]
"""
    assert any("need not stand in a profile" in note for note in load_policy(HEAD + text, name="x").notes)
