"""What has to be done to a model server."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.adapters.config import SyncConfig
from signalbox.adapters.plan import Belief, Plan, plan

Sources = Mapping[str, str]


def config(exist: Sources | None = None, absent: Sources | None = None) -> SyncConfig:
    def block(sources: Sources | None) -> dict[str, object]:
        return {"models": [{"id": id, "source": source} for id, source in (sources or {}).items()]}

    return SyncConfig.model_validate({"ensureExist": block(exist), "ensureNotExist": block(absent)})


def ids(todo: Plan) -> dict[str, list[str]]:
    """The parts of a plan that are not empty."""
    parts = {
        "load": [adapter.id for adapter in todo.load],
        "reload": [adapter.id for adapter in todo.reload],
        "unload": list(todo.unload),
        "present": list(todo.already_present),
        "absent": list(todo.already_absent),
        "conflicts": list(todo.conflicts),
        "protected": list(todo.protected),
    }
    return {name: part for name, part in parts.items() if part}


@pytest.mark.parametrize(
    ("exist", "absent", "registered", "expected"),
    [
        ({}, {}, {}, {}),
        ({"a": "s", "b": "t"}, {}, {}, {"load": ["a", "b"]}),
        ({"a": "s"}, {}, {"a": "s"}, {"present": ["a"]}),
        ({}, {"a": "s"}, {"a": "s"}, {"unload": ["a"]}),
        ({}, {"a": "s"}, {}, {"absent": ["a"]}),
        ({}, {}, {"theirs": "s"}, {}),
        ({"a": "s"}, {"a": "s"}, {}, {"conflicts": ["a"]}),
        ({"a": "s"}, {"a": "s"}, {"a": "s"}, {"conflicts": ["a"]}),
        (
            {"sql-lora-v1": "s", "sql-lora-v3": "s", "already_exists": "s"},
            {"sql-lora-v2": "s", "sql-lora-v3": "s", "to_remove": "s"},
            {"already_exists": "s", "to_remove": "s"},
            {
                "load": ["sql-lora-v1"],
                "present": ["already_exists"],
                "unload": ["to_remove"],
                "absent": ["sql-lora-v2"],
                "conflicts": ["sql-lora-v3"],
            },
        ),
    ],
)
def test_the_table(exist: Sources, absent: Sources, registered: Sources, expected: dict[str, list[str]]) -> None:
    assert ids(plan(config(exist, absent), registered)) == expected


def test_a_base_model_is_neither_loaded_nor_unloaded() -> None:
    todo = plan(config({"base": "s"}, {"alias": "s"}), {}, base_models=frozenset({"base", "alias"}))
    assert ids(todo) == {"protected": ["base", "alias"]}


class TestAChangedSource:
    def test_what_we_loaded_from_another_source_is_reloaded(self) -> None:
        todo = plan(config({"a": "new"}), {"a": "old"}, {"a": Belief("old", "old")})
        assert ids(todo) == {"reload": ["a"]}

    def test_so_is_what_we_found_under_another_source(self) -> None:
        first = plan(config({"a": "old"}), {"a": "/somewhere"})
        assert ids(plan(config({"a": "new"}), {"a": "/somewhere"}, first.beliefs)) == {"reload": ["a"]}

    def test_a_root_that_is_the_new_source_already_is_not_reloaded(self) -> None:
        todo = plan(config({"a": "new"}), {"a": "new"}, {"a": Belief("old", None)})
        assert ids(todo) == {"present": ["a"]}
        assert todo.beliefs["a"] == Belief("new", "new")

    def test_a_resolved_path_as_root_is_no_change(self) -> None:
        todo = plan(config({"a": "org/a"}), {"a": "/cache/org/a"}, {"a": Belief("org/a", None)})
        assert ids(todo) == {"present": ["a"]}
        assert not todo.unconfirmed
        assert ids(plan(config({"a": "org/a"}), {"a": "/cache/org/a"}, todo.beliefs)) == {"present": ["a"]}

    def test_what_was_there_before_us_with_another_root_is_taken_as_the_same_and_said(self) -> None:
        todo = plan(config({"a": "org/a"}), {"a": "/x"})
        assert ids(todo) == {"present": ["a"]}
        assert todo.unconfirmed == {"a": "/x"}
        assert not plan(config({"a": "org/a"}), {"a": "/x"}, todo.beliefs).unconfirmed

    def test_what_somebody_else_loaded_since_is_not_fought_over(self) -> None:
        todo = plan(config({"a": "ours"}), {"a": "theirs"}, {"a": Belief("ours", "ours")})
        assert ids(todo) == {"present": ["a"]}
        assert todo.unconfirmed == {"a": "theirs"}

    def test_a_server_that_lists_no_roots_is_taken_at_our_word(self) -> None:
        todo = plan(config({"a": "new"}), {"a": None}, {"a": Belief("old", None)})
        assert ids(todo) == {"reload": ["a"]}

    def test_the_source_is_remembered_while_an_adapter_is_out_of_the_configuration(self) -> None:
        first = plan(config({"a": "old"}), {"a": "/x"})
        without = plan(config(), {"a": "/x"}, first.beliefs)
        assert ids(plan(config({"a": "new"}), {"a": "/x"}, without.beliefs)) == {"reload": ["a"]}

    def test_a_restarted_server_is_known_nothing_about(self) -> None:
        todo = plan(config({"a": "new"}), {}, {"a": Belief("old", "old")})
        assert ids(todo) == {"load": ["a"]}
        assert not todo.beliefs


class Model:
    """A server in one's head, which lists roots as it was told or as resolved paths."""

    def __init__(self, adapters: dict[str, str], resolves: bool) -> None:
        self.adapters = adapters
        self.resolves = resolves
        self.beliefs: dict[str, Belief] = {}

    def registered(self) -> dict[str, str | None]:
        return {id: f"/cache/{source}" if self.resolves else source for id, source in self.adapters.items()}

    def plan(self, wanted: SyncConfig) -> Plan:
        todo = plan(wanted, self.registered(), self.beliefs)
        self.beliefs = dict(todo.beliefs)
        return todo

    def apply(self, todo: Plan) -> None:
        for id in todo.unload:
            del self.adapters[id]
            self.beliefs.pop(id, None)
        for adapter in (*todo.load, *todo.reload):
            self.adapters[adapter.id] = adapter.source
            self.beliefs[adapter.id] = Belief(adapter.source, None)


_sources = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["s", "t", "/p"]), max_size=5)


@given(st.lists(st.tuples(_sources, _sources), min_size=1, max_size=5), _sources, st.booleans())
def test_a_plan_carried_out_leaves_nothing_to_do(
    changes: list[tuple[Sources, Sources]], there: dict[str, str], resolves: bool
) -> None:
    server = Model(dict(there), resolves)
    for exist, absent in changes:
        wanted, before = config(exist, absent), dict(server.adapters)
        server.apply(server.plan(wanted))
        for _ in range(3):
            again = server.plan(wanted)
            assert again.empty
        assert set(exist) - set(absent) <= set(server.adapters)
        assert not (set(absent) - set(exist)) & set(server.adapters)
        untouched = (set(before) - set(exist) - set(absent)) | (set(before) & set(exist) & set(absent))
        assert {id: server.adapters.get(id) for id in untouched} == {id: before[id] for id in untouched}


@given(_sources, _sources, st.booleans())
def test_a_change_of_source_reaches_whatever_we_manage(before: Sources, after: Sources, resolves: bool) -> None:
    server = Model({}, resolves)
    for wanted in (config(before), config(after)):
        server.apply(server.plan(wanted))
        server.plan(wanted)
    assert server.adapters == {**before, **after}
