"""What plugins of other packages do wrong, at load and at run time: told or counted, never a request's end."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import msgspec
import numpy as np
import pytest

from signalbox.pool import Floats, Rows
from signalbox.scheduling import (
    Cycle,
    Decision,
    FilterPlugin,
    InvalidPolicy,
    Parameters,
    PickerPlugin,
    Policy,
    ScorerPlugin,
    load_policy,
)
from signalbox.scheduling import registry as registry_module
from signalbox.scheduling.headers import check_headers
from signalbox.scheduling.plugin import DeciderPlugin, DetectorPlugin, HandlerPlugin
from signalbox.scheduling.registry import GROUP

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


class Scorer(ScorerPlugin[Parameters]):
    """Fails while it connects, or sets what headers it is told to."""

    type = "x-scorer"
    fails = ""
    headers: Any = None

    def __init__(self, parameters: Parameters | None = None, name: str = "") -> None:
        if self.fails != "silently":
            super().__init__(parameters, name)
        if self.fails == "init":
            raise RuntimeError("no luck")

    def connect(self, plugins: Any) -> None:
        """Fail, if it is to."""
        if self.fails == "connect":
            raise RuntimeError("no luck")

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """All alike."""
        return np.ones(len(rows))

    def answer_headers(self, cycle: Cycle, decision: Decision) -> Any:
        """Return the class's headers."""
        return {} if self.headers is None else self.headers


class Handler(HandlerPlugin[Parameters]):
    """Runs the first profile and spoils the decision."""

    type = "x-handler"
    fails = False
    spoils: Any = staticmethod(lambda decision: decision)

    def check(self, profiles: Any) -> None:
        """Fail, if it is to."""
        if self.fails:
            raise RuntimeError("no luck")

    def schedule(self, cycle: Cycle, rows: Rows, profiles: Any) -> Decision | None:
        """Return what is left of the decision."""
        return type(self).spoils(next(iter(profiles.values())).schedule(cycle, rows))  # type: ignore[no-any-return]


class Detector(DetectorPlugin[Parameters]):
    """Says what it is told to."""

    type = "x-detector"
    answer: Any = 0.5

    def saturation(self, cycle: Cycle, rows: Rows) -> float:
        """Return the class's answer."""
        return self.answer  # type: ignore[no-any-return]

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """All."""
        return rows


class Picker(PickerPlugin[Parameters]):
    """Does not know how many it names."""

    type = "x-picker"
    answer: Any = 1

    @property
    def endpoints(self) -> int:
        """Return the class's answer, or fail."""
        if self.answer is None:
            raise RuntimeError("no luck")
        return self.answer  # type: ignore[no-any-return]

    def pick(self, cycle: Cycle, rows: Rows, scores: Floats, limit: int) -> Rows:
        """The first."""
        return rows[:limit]


class Decider(DeciderPlugin[Parameters]):
    """Cannot decide."""

    type = "x-decider"

    def decide(self, cycle: Cycle, row: int | None) -> bool:
        """Raise."""
        raise RuntimeError("no luck")


class Writer(FilterPlugin[Parameters]):
    """Takes the rows for its own."""

    type = "x-writer"

    def keep(self, cycle: Cycle, rows: Rows) -> Rows:
        """Write to the argument."""
        rows[:] = rows[0]
        return rows[:1]


PLUGINS = (Scorer, Handler, Detector, Picker, Decider, Writer)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)(__name__)
    module.__dict__.update(globals())
    monkeypatch.setitem(sys.modules, __name__, module)
    entries = EntryPoints([EntryPoint(plugin.type, f"{__name__}:{plugin.__name__}", GROUP) for plugin in PLUGINS])
    monkeypatch.setattr(registry_module, "entry_points", lambda group: entries.select(group=group))


def load(body: str) -> Policy:
    return load_policy(HEAD + body, name="epp.yaml")


def refusal(body: str) -> str:
    with pytest.raises(InvalidPolicy) as caught:
        load(body)
    return str(caught.value)


@pytest.mark.parametrize(
    ("plugin", "attribute", "value", "expected"),
    [
        (Scorer, "fails", "init", "plugins[0]: 'x-scorer' cannot be created: RuntimeError: no luck"),
        (Scorer, "fails", "silently", "cannot be created: TypeError: its __init__ must hand parameters and name on"),
        (Scorer, "fails", "connect", "plugins[0]: 'x-scorer' failed in connect: RuntimeError: no luck"),
        (Scorer, "needs", lambda self: 1 // 0, "plugins[0]: 'x-scorer' failed in needs: ZeroDivisionError: integer"),
        (Scorer, "needs", lambda self: ("x-oracle",), "failed in needs: LookupError: 'x-oracle' is not a known plugin"),
        (Handler, "fails", True, "plugins[0]: 'x-handler' failed in check: RuntimeError: no luck"),
        (Picker, "answer", None, "plugins[0]: 'x-picker' failed in endpoints: RuntimeError: no luck"),
        (Picker, "answer", 0, "failed in endpoints: ValueError: 0 is not a number of endpoints to name"),
        (Picker, "answer", "3", "failed in endpoints: ValueError: '3' is not a number of endpoints to name"),
    ],
)
def test_a_plugin_that_fails_while_it_is_loaded_is_a_problem_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, plugin: Any, attribute: str, value: Any, expected: str
) -> None:
    monkeypatch.setattr(plugin, attribute, value)
    found = refusal(f"plugins: [{{type: {plugin.type}}}, {{type: queue-scorer}}]")
    assert found.startswith("epp.yaml:3 ")
    assert expected in found
    assert found.endswith("; repair or remove the package that brings it")


def test_an_error_of_our_own_is_not_taken_for_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = registry_module.BUILTIN["queue-scorer"]
    monkeypatch.setattr(plugin, "connect", lambda self, plugins: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        load("plugins: [{type: queue-scorer}]")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda decision: "nonsense",
        lambda decision: msgspec.structs.replace(decision, rows=(99,)),
        lambda decision: msgspec.structs.replace(decision, rows=()),
        lambda decision: msgspec.structs.replace(decision, rows=(0, 0)),
        lambda decision: msgspec.structs.replace(decision, rows=("a",)),
        lambda decision: msgspec.structs.replace(decision, stages={"prefill": (99,)}),
        lambda decision: msgspec.structs.replace(decision, steps=("x",)),
        lambda decision: msgspec.structs.replace(decision, headers={"x-a": 5}),
        lambda decision: msgspec.structs.replace(decision, response_headers={":status": "500"}),
    ],
)
def test_a_handlers_bad_decision_is_its_fault_and_its_profile_decides(
    monkeypatch: pytest.MonkeyPatch, world: Any, spoil: Any
) -> None:
    monkeypatch.setattr(Handler, "spoils", staticmethod(spoil))
    policy = load("plugins: [{type: x-handler}, {type: queue-scorer}]")
    state = world(2, waiting=[1, 0])
    decision = policy.schedule(state.cycle(), state.rows)
    assert decision is not None
    assert decision.rows == (1, 0)
    assert policy.faults == {"x-handler": 1}


def test_a_handlers_good_decision_passes_and_so_does_none(monkeypatch: pytest.MonkeyPatch, world: Any) -> None:
    changed = {"rows": np.array([1]), "stages": {"prefill": (0,)}, "headers": {"x-a": "b"}}
    monkeypatch.setattr(Handler, "spoils", staticmethod(lambda made: msgspec.structs.replace(made, **changed)))
    policy = load("plugins: [{type: x-handler}, {type: queue-scorer}]")
    state = world(2)
    decision = policy.schedule(state.cycle(), state.rows)
    assert decision is not None
    assert (decision.rows, decision.stages, decision.headers) == ((1,), {"prefill": (0,)}, {"x-a": "b"})
    monkeypatch.setattr(Handler, "spoils", staticmethod(lambda made: None))
    assert policy.schedule(state.cycle(), state.rows) is None
    assert not policy.faults


@pytest.mark.parametrize("answer", [None, "full", float("nan"), float("inf"), -1.0])
def test_a_detectors_bad_answer_is_its_fault_and_refuses_nobody(
    monkeypatch: pytest.MonkeyPatch, world: Any, answer: Any
) -> None:
    policy = load("plugins: [{type: x-detector}]\nsaturationDetector: {pluginRef: x-detector}")
    state = world(2)
    assert policy.saturation(state.cycle(), state.rows) == 0.5
    monkeypatch.setattr(Detector, "answer", answer)
    assert policy.saturation(state.cycle(), state.rows) == 0.0
    assert policy.faults == {"x-detector": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": 5},
        {5: "x"},
        {"x-a": "y\r\nx-b: z"},
        {"x-a": "\x00"},
        {":status": "500"},
        {"Bad Name": "x"},
        {"": "x"},
        {"Content-Length": "0"},
        "x-a: b",
    ],
)
def test_headers_that_cannot_be_sent_are_a_fault_and_are_left_out(
    monkeypatch: pytest.MonkeyPatch, world: Any, headers: Any
) -> None:
    monkeypatch.setattr(Scorer, "headers", headers)
    policy = load("plugins: [{type: x-scorer}]")
    state = world(2)
    decision = policy.schedule(state.cycle(), state.rows)
    assert decision is not None
    assert decision.response_headers == {}
    assert policy.faults == {"x-scorer": 1}


def test_headers_that_can_be_sent_are_left_as_they_are() -> None:
    headers = {"X-Token": "a b\tc", "x_odd!name": "", "x-name": "größe"}
    assert check_headers("p", headers) is headers


def test_a_header_parameter_must_be_a_headers_name() -> None:
    found = refusal(
        "plugins: [{type: session-affinity-scorer, parameters: {encodedEndpointHeaderConfig: {header: 'bad header!'}}}]"
    )
    assert "'bad header!' is not allowed here; write an HTTP header name" in found


@pytest.mark.parametrize("order", ["decode-first", "prefill-first"])
def test_a_decider_that_fails_is_counted_itself_and_its_stage_is_left_out(world: Any, order: str) -> None:
    stage = "encode" if order == "prefill-first" else "prefill"
    policy = load(
        f"""plugins:
- type: x-decider
- type: disagg-profile-handler
  parameters: {{stageOrder: {order}, deciders: {{{stage}: x-decider}}}}
schedulingProfiles: [{{name: decode}}, {{name: prefill}}, {{name: encode}}]
"""
    )
    state = world(2)
    decision = policy.schedule(state.cycle(), state.rows)
    assert decision is not None
    assert stage not in decision.stages
    assert policy.faults == {"x-decider": 1}


def test_a_plugin_cannot_write_to_what_it_is_given(world: Any) -> None:
    policy = load("plugins: [{type: x-writer}, {type: queue-scorer}]")
    state = world(3, waiting=[2, 1, 0])
    rows = state.rows
    decision = policy.schedule(state.cycle(), rows)
    assert decision is not None
    assert decision.rows == (2, 1, 0)
    assert rows.tolist() == [0, 1, 2]
    assert policy.faults == {"x-writer": 1}


@pytest.mark.parametrize("picker", ["x-picker", "max-score-picker"])
def test_where_a_picker_fails_equal_scores_go_to_the_fewest_requests_in_flight(
    monkeypatch: pytest.MonkeyPatch, world: Any, picker: str
) -> None:
    monkeypatch.setattr(Picker, "answer", 3)
    plugin = registry_module.load_registry().types[picker]
    for method in ("pick", "pick_few"):
        monkeypatch.setattr(plugin, method, lambda *arguments: 1 // 0, raising=method == "pick")
    policy = load(f"plugins: [{{type: {picker}}}, {{type: queue-scorer}}]")
    state = world(3, inflight=[2, 0, 1], inflight_mark=[2, 0, 1])
    decision = policy.schedule(state.cycle(), state.rows)
    assert decision is not None
    assert decision.rows == (1, 2, 0)
    assert policy.faults == {picker: 1}
