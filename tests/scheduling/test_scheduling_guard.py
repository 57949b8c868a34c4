"""Plugins of other packages cannot write to the pool, whatever they are handed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import numpy as np
import pytest

from signalbox.pool import Columns, Floats, Rows
from signalbox.pool.columns import NAMES
from signalbox.scheduling import Cycle, Decision, Parameters, Policy, ScorerPlugin, load_policy
from signalbox.scheduling import registry as registry_module
from signalbox.scheduling.guard import Guard
from signalbox.scheduling.latency import Predictions
from signalbox.scheduling.registry import GROUP

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"

WRITES: dict[str, Callable[[Any], Any]] = {
    "a column": lambda cycle: cycle.columns.waiting.__setitem__(0, 99.0),
    "a column of ours": lambda cycle: cycle.columns.inflight.__iadd__(1.0),
    "when it was scraped": lambda cycle: cycle.columns.scraped_at.__setitem__(0, 5.0),
    "adapters": lambda cycle: cycle.columns.adapters["m"].__setitem__(0, False),
    "a row's adapters": lambda cycle: cycle.columns.set_adapters(0, frozenset()),
    "all of a row": lambda cycle: cycle.columns.clear(0),
    "endpoints": lambda cycle: cycle.endpoints.clear(),
    "one endpoint": lambda cycle: cycle.endpoints.__setitem__(0, None),
    "headers": lambda cycle: cycle.headers.__setitem__("x", "y"),
    "the prefix": lambda cycle: cycle.prefix.blocks.__setitem__(0, 99.0),
}


class Writer(ScorerPlugin[Parameters]):
    """Writes where it is told to, wherever it is asked."""

    type = "x-writer"
    write: Any = staticmethod(lambda cycle: None)

    def score(self, cycle: Cycle, rows: Rows) -> Floats:
        """Write, and score nothing."""
        type(self).write(cycle)
        return np.ones(len(rows))

    def routed(self, cycle: Cycle, decision: Decision) -> None:
        """Write."""
        type(self).write(cycle)

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> None:
        """Write."""
        type(self).write(cycle)


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Policy:
    entry = EntryPoint("x-writer", f"{__name__}:Writer", GROUP)
    monkeypatch.setattr(registry_module, "entry_points", lambda group: EntryPoints([entry]))
    monkeypatch.setattr(EntryPoint, "load", lambda self: Writer)
    return load_policy(HEAD + "plugins: [{type: x-writer}, {type: queue-scorer}]", name="x")


def everything(columns: Columns) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name in NAMES:
        value = getattr(columns, name)
        if isinstance(value, np.ndarray):
            kept[name] = value.tolist()
        elif isinstance(value, dict):
            kept[name] = {key: mask.tolist() for key, mask in value.items()}
        elif name != "report":
            kept[name] = value
    return kept


@pytest.mark.parametrize("name", WRITES)
def test_a_plugin_that_writes_is_at_fault_and_nothing_is_spoilt(
    policy: Policy, world: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    state = world(3, waiting=[2, 1, 0], inflight=[2, 1, 0], inflight_mark=[2, 1, 0])
    state.columns.set_adapters(0, frozenset(["m"]))
    prefix = state.prefix([1, 2, 0], total=4)
    cycle = state.cycle(prefix=prefix, headers={"a": "b"})
    before, endpoints = everything(state.columns), dict(state.endpoints)
    monkeypatch.setattr(Writer, "write", staticmethod(WRITES[name]))
    decision = policy.schedule(cycle, state.rows)
    assert decision is not None
    assert decision.rows == (2, 1, 0), "the others decide"
    policy.moved(cycle, decision, 1)
    assert policy.faults == {"x-writer": 3}
    assert everything(state.columns) == before
    assert state.endpoints == endpoints
    assert prefix.blocks.tolist()[:3] == [1, 2, 0]
    assert cycle.columns is state.columns
    assert cycle.endpoints is state.endpoints
    assert cycle.prefix is prefix
    assert cycle.headers == {"a": "b"}


@pytest.mark.parametrize("name", ["target", "priority", "rng", "prompt_tokens", "now", "slo_ttft", "slo_tpot"])
def test_what_a_cycle_says_of_its_request_is_as_it_was_once_the_plugins_are_through(
    policy: Policy, world: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    state = world(2)
    cycle = state.cycle()
    before = getattr(cycle, name)
    monkeypatch.setattr(Writer, "write", staticmethod(lambda cycle: setattr(cycle, name, "junk")))
    assert policy.schedule(cycle, state.rows) is not None
    assert getattr(cycle, name) == before


def predictions(size: int, tpot: Any = None) -> Predictions:
    return Predictions("x", 0.0, np.full(size, 0.5), tpot, np.zeros(size), np.zeros(size))


@pytest.mark.parametrize(
    ("noted", "kept"),
    [
        (predictions, True),
        (lambda size: predictions(size, np.full(size, 0.01)), True),
        (lambda size: predictions(size, np.full(size, 0.01)[1:]), False),
        (lambda size: predictions(size, [0.01] * size), False),
        (lambda size: predictions(0), False),
        (lambda size: "soon", False),
    ],
)
def test_predictions_of_ones_own_count_where_they_say_something_of_every_row(
    policy: Policy, world: Any, monkeypatch: pytest.MonkeyPatch, noted: Callable[[int], Any], kept: bool
) -> None:
    state = world(3)
    cycle = state.cycle()
    theirs = noted(state.columns.size)
    monkeypatch.setattr(Writer, "write", staticmethod(lambda cycle: setattr(cycle, "predictions", theirs)))
    assert policy.schedule(cycle, state.rows) is not None
    assert cycle.predictions is (theirs if kept else None)


def test_what_a_plugin_is_shown_is_what_there_is(world: Any) -> None:
    state, guard = world(3, waiting=[2, 1, 0], kv_usage=[0.1, 0.2, 0.3]), Guard()
    columns = state.columns
    assert everything(guard.columns(columns)) == everything(columns)
    columns.waiting[0] = 7
    columns.set_adapters(1, frozenset(["x"]))
    columns.set_unseen(2, 1.0)
    columns.scraped(1, 9.0)
    shown = guard.columns(columns)
    assert everything(shown) == everything(columns)
    assert shown.queue(state.rows).tolist() == columns.queue(state.rows).tolist()
    columns.grow()
    columns.set_adapters(12, frozenset(["x"]))
    assert everything(guard.columns(columns)) == everything(columns)
    other = world(20, running=[1] * 20).columns
    assert everything(guard.columns(other)) == everything(other)


def test_the_same_pool_is_shown_as_the_same_objects_so_that_what_is_derived_is_kept(world: Any) -> None:
    state, guard = world(3), Guard()
    assert guard.columns(state.columns) is guard.columns(state.columns)
    assert guard.endpoints(state.endpoints) is guard.endpoints(state.endpoints)
    other = dict(state.endpoints)
    assert guard.endpoints(other) is not guard.endpoints(state.endpoints)


def test_a_policy_of_our_own_plugins_is_handed_the_pool_itself(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Columns] = []

    def watching(self: Any, cycle: Cycle, rows: Rows) -> Floats:
        seen.append(cycle.columns)
        return np.ones(len(rows))

    monkeypatch.setattr(registry_module.BUILTIN["latency-scorer"], "score", watching)
    policy = load_policy(HEAD + "plugins: [{type: latency-scorer}]", name="x")
    state = world(2)
    policy.schedule(state.cycle(), state.rows)
    assert [columns is state.columns for columns in seen] == [True]
