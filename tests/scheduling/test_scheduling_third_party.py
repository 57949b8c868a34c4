"""Plugins of other packages: found by their entry points, checked, and unable to break the others."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signalbox.pool import Floats, Rows
from signalbox.scheduling import Cycle, FilterPlugin, InvalidPolicy, Parameters, PickerPlugin, ScorerPlugin, load_policy
from signalbox.scheduling import registry as registry_module
from signalbox.scheduling.registry import GROUP, load_registry

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugins"
HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


class WildScorer(ScorerPlugin[Parameters]):
    """Returns whatever it is told to."""

    type = "wild-scorer"
    answer: Any = None

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Return the class's answer."""
        return self.answer  # type: ignore[no-any-return]


class WildFilter(FilterPlugin[Parameters]):
    """Returns whatever it is told to."""

    type = "wild-filter"
    answer: Any = None

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Return the class's answer."""
        return self.answer  # type: ignore[no-any-return]


class WildPicker(PickerPlugin[Parameters]):
    """Returns whatever it is told to."""

    type = "wild-picker"
    answer: Any = None

    @property
    def endpoints(self) -> int:
        """Two."""
        return 2

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """Return the class's answer."""
        return self.answer  # type: ignore[no-any-return]


class Unfinished(ScorerPlugin[Parameters]):
    """Lacks its method."""

    type = "unfinished"


def install(monkeypatch: pytest.MonkeyPatch, **modules: str) -> None:
    entries = EntryPoints([EntryPoint(name.replace("_", "-"), value, GROUP) for name, value in modules.items()])
    monkeypatch.setattr(registry_module, "entry_points", lambda group: entries.select(group=group))


def here(name: str) -> str:
    return f"{__name__}:{name}"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are loaded by file: make this one importable by name."""
    module = type(sys)(__name__)
    module.__dict__.update(globals())
    monkeypatch.setitem(sys.modules, __name__, module)


def test_the_example_package_works_as_its_project_file_declares(monkeypatch: pytest.MonkeyPatch, world: Any) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    declared = project["project"]["entry-points"][GROUP]
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    install(monkeypatch, **{name.replace("-", "_"): value for name, value in declared.items()})
    policy = load_policy((EXAMPLE / "epp.yaml").read_text(), name="epp.yaml")
    state = world(4, labels=[{"example.com/cost-per-hour": cost} for cost in ("30", "10", "x", "-90")])
    decision = policy.schedule(state.cycle(), state.rows)
    assert decision is not None
    (_, cost) = decision.scores[0].parts
    assert cost[2] == pytest.approx([0.25, 0.75, 0, 1]), "clamped"
    assert not policy.faults


@pytest.mark.parametrize(
    ("role", "answer"),
    [
        ("scorer", [1.0]),
        ("scorer", [np.nan, 1.0]),
        ("scorer", None),
        ("filter", [0, 0]),
        ("filter", [7]),
        ("filter", [[0, 1]]),
        ("picker", [7]),
        ("picker", []),
        ("picker", [0, 1, 0]),
    ],
)
def test_a_wrong_answer_is_a_fault_and_the_decision_goes_on(
    monkeypatch: pytest.MonkeyPatch, world: Any, role: str, answer: Any
) -> None:
    install(monkeypatch, wild_scorer=here("WildScorer"), wild_filter=here("WildFilter"), wild_picker=here("WildPicker"))
    plugin = {"scorer": WildScorer, "filter": WildFilter, "picker": WildPicker}[role]
    monkeypatch.setattr(plugin, "answer", answer)
    policy = load_policy(f"{HEAD}plugins: [{{type: {plugin.type}}}, {{type: queue-scorer}}]", name="epp.yaml")
    state = world(2, waiting=[1, 0])
    decision = policy.schedule(state.cycle(), state.rows)
    assert decision is not None
    assert decision.rows[0] == 1
    assert policy.faults == {plugin.type: 1}


def test_good_answers_pass(monkeypatch: pytest.MonkeyPatch, world: Any) -> None:
    install(monkeypatch, wild_scorer=here("WildScorer"), wild_filter=here("WildFilter"), wild_picker=here("WildPicker"))
    monkeypatch.setattr(WildScorer, "answer", [5, -5])
    monkeypatch.setattr(WildFilter, "answer", np.array([1, 0]))
    monkeypatch.setattr(WildPicker, "answer", [0])
    text = f"{HEAD}plugins: [{{type: wild-scorer}}, {{type: wild-filter}}, {{type: wild-picker}}]"
    policy = load_policy(text, name="epp.yaml")
    state = world(2)
    decision = policy.schedule(state.cycle(), state.rows)
    assert decision is not None
    assert decision.scores[0].totals.tolist() == [1, 0]
    assert decision.rows == (0,)
    assert not policy.faults


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("gone", "nowhere.at.all:Scorer", "nowhere.at.all:Scorer cannot be imported: ModuleNotFoundError"),
        ("odd", "json:dumps", "json:dumps is not a subclass of a plugin base class"),
        ("unfinished", here("Unfinished"), "does not implement score"),
        ("renamed", here("WildScorer"), "has type 'wild-scorer', which must equal the name of its entry point"),
    ],
)
def test_a_package_that_cannot_be_used_breaks_only_its_own_type(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    install(monkeypatch, **{name: value})
    assert load_policy(f"{HEAD}plugins: [{{type: queue-scorer}}]", name="epp.yaml").plugins
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(f"{HEAD}plugins: [{{type: {name}}}]", name="epp.yaml")
    assert reason in str(caught.value)


def test_our_own_types_cannot_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, queue_scorer=here("WildScorer"))
    registry = load_registry()
    assert registry.types["queue-scorer"].__module__ == "signalbox.scheduling.scorers.queue"
    assert not registry.foreign
