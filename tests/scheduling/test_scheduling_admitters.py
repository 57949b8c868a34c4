"""Who refuses sheddable requests besides the saturation gate, and what becomes of an admitter that fails."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import numpy as np
import pytest

from signalbox.pool import NEVER, Rows
from signalbox.scheduling import AdmitterPlugin, Cycle, Parameters, Policy, load_policy
from signalbox.scheduling import registry as registry_module
from signalbox.scheduling.latency import Predictions
from signalbox.scheduling.registry import BUILTIN, GROUP

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def made(type: str, **parameters: Any) -> AdmitterPlugin[Any]:
    kind = BUILTIN[type]
    plugin = kind(kind.parameter_model.model_validate(parameters, by_alias=True, by_name=False))
    plugin.connect({needed: BUILTIN[needed]() for needed in plugin.needs()})
    assert isinstance(plugin, AdmitterPlugin)
    return plugin


class TestProbabilistic:
    @pytest.mark.parametrize(
        ("columns", "refused"),
        [
            ({}, 0.0),
            ({"waiting": [0.75, 0.75]}, 300 * 0.15**5),
            ({"waiting": [1, 1]}, 300 * 0.2**5),
            ({"kv_usage": [0.32, 0.0]}, 300 * 0.2**5),
            ({"waiting": [2, 0], "kv_usage": [0.1, 0.16]}, 300 * 0.3**5),
            ({"waiting": [2, 2]}, 1.0),
            ({"waiting": [500, 500]}, 1.0),
            ({"scraped_at": [NEVER, NEVER]}, 1.0),
        ],
    )
    def test_the_chance_rises_with_saturation(
        self, world: Any, columns: dict[str, list[float]], refused: float
    ) -> None:
        state, plugin = world(2, **columns), made("probabilistic-admitter")
        cycle = state.cycle(priority=-1)
        answers = [plugin.admit(cycle, state.rows) for _ in range(2000)]
        share = sum(answer is not None for answer in answers) / 2000
        assert share == pytest.approx(refused, abs=0.04)
        assert bool(refused) is any(answers)

    def test_it_says_how_full_the_pool_is(self, world: Any) -> None:
        state = world(2, waiting=[4, 4])
        assert made("probabilistic-admitter", queueDepthThreshold=8).admit(state.cycle(), state.rows) == (
            "the pool is at 50% of its capacity, where 100% of sheddable requests are refused"
        )

    def test_power_and_k_say_where(self, world: Any) -> None:
        state = world(1, waiting=[2.5])
        cycle = state.cycle()
        gentle = made("probabilistic-admitter", power=1.0, k=0.5)
        share = sum(gentle.admit(cycle, state.rows) is not None for _ in range(2000)) / 2000
        assert share == pytest.approx(0.25, abs=0.04)


class TestLatencySLO:
    def asked(self, world: Any, headroom: list[float], ttft: float | None = 0.2, **columns: Any) -> str | None:
        busy: dict[str, Any] = {"running": [3, 3], "kv_usage": [0.5, 0.5]} | columns
        state = world(2, **busy)
        cycle: Cycle = state.cycle(priority=-1, slo_ttft=ttft)
        left = np.zeros(state.columns.size)
        left[:2] = headroom
        expected = (0.2 - left, None, left, np.zeros(state.columns.size))
        cycle.predictions = Predictions("predicted-latency-producer", 0.0, *expected)
        return made("latency-slo-admitter").admit(cycle, state.rows)

    def test_refused_where_everybody_would_be_late(self, world: Any) -> None:
        assert self.asked(world, [-0.1, -0.3]) == (
            "none of 2 endpoints is expected to answer in time: at best the first token in 300 ms of 200"
        )

    @pytest.mark.parametrize(
        ("headroom", "columns"),
        [
            pytest.param([-0.1, 0.01], {}, id="one in time"),
            pytest.param([-0.1, -0.1], {"running": [3, 0]}, id="one idle"),
            pytest.param([-0.1, -0.1], {"kv_usage": [0.01, 0.5]}, id="one cold"),
            pytest.param([-0.1, -0.1], {"ttft": None}, id="no objective"),
        ],
    )
    def test_let_in_otherwise(self, world: Any, headroom: list[float], columns: dict[str, Any]) -> None:
        assert self.asked(world, headroom, **columns) is None

    def test_let_in_while_nothing_is_predicted(self, world: Any) -> None:
        state = world(2, running=[3, 3], kv_usage=[0.5, 0.5])
        assert made("latency-slo-admitter").admit(state.cycle(priority=-1, slo_ttft=0.2), state.rows) is None

    def test_the_pace_is_told_where_it_was_asked_for(self, world: Any) -> None:
        state = world(1, running=[3], kv_usage=[0.5])
        cycle = state.cycle(priority=-1, slo_tpot=0.02)
        size = state.columns.size
        pace = np.full(size, 0.0314)
        cycle.predictions = Predictions("predicted-latency-producer", 0.0, pace, pace, np.zeros(size), 0.02 - pace)
        why = made("latency-slo-admitter").admit(cycle, state.rows)
        assert why is not None
        assert why.endswith("at best 31.4 ms per output token of 20")


class Admitter(AdmitterPlugin[Parameters]):
    """Answers what it is told to."""

    type = "x-admitter"
    answer: Any = None

    def admit(self, cycle: Cycle, rows: Rows) -> str | None:
        """Raise or return it."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Policy:
    entry = EntryPoint("x-admitter", f"{__name__}:Admitter", GROUP)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: EntryPoints([entry]))
    monkeypatch.setattr(EntryPoint, "load", lambda self: Admitter)
    return load_policy(HEAD + "plugins: [{type: x-admitter}, {type: probabilistic-admitter}]", name="x")


def test_the_first_refusal_counts_and_names_who_refused(
    policy: Policy, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = world(1, waiting=[50])
    refusal = policy.admit(full.cycle(priority=-1), full.rows)
    assert refusal is not None
    assert refusal[0] == "probabilistic-admitter"
    monkeypatch.setattr(Admitter, "answer", "not today")
    assert policy.admit(full.cycle(priority=-1), full.rows) == ("x-admitter", "not today")


@pytest.mark.parametrize("answer", [ValueError("no luck"), False, 3, "", "  "])
def test_one_that_fails_lets_in_and_is_counted(
    policy: Policy, world: Any, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr(Admitter, "answer", answer)
    state = world(1)
    cycle = state.cycle(priority=-1)
    assert policy.admit(cycle, state.rows) is None
    assert policy.faults == {"x-admitter": 1}
    assert [(step.plugin, bool(step.fault)) for step in cycle.steps] == [("x-admitter", True)]


def test_in_a_profile_they_are_noted_and_asked_all_the_same() -> None:
    policy = load_policy(
        HEAD
        + "plugins: [{type: probabilistic-admitter}]\n"
        + "schedulingProfiles: [{name: a, plugins: [{pluginRef: probabilistic-admitter}]}]",
        name="x",
    )
    assert [plugin.type for plugin in policy.admitters] == ["probabilistic-admitter"]
    assert any("need not stand in a profile" in note for note in policy.notes)
