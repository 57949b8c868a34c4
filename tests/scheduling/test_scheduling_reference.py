"""The reference page and the JSON Schema are written from the classes and cover them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from signalbox.scheduling import load_policy
from signalbox.scheduling.configuration.accepted import ACCEPTED
from signalbox.scheduling.configuration.schema import config_schema
from signalbox.scheduling.configuration.unsupported import UNSUPPORTED
from signalbox.scheduling.reference import plugin_reference
from signalbox.scheduling.registry import BUILTIN

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text() == plugin_reference(), "run: python -m signalbox.scheduling.reference > docs/plugins.md"


@pytest.mark.parametrize("name", BUILTIN)
def test_every_type_says_what_it_does_and_when_to_use_it(name: str) -> None:
    plugin = BUILTIN[name]
    assert plugin.use.endswith(".")
    assert "\n\n" in (plugin.__doc__ or ""), "a summary, then the formula and its source"
    assert f"### {name}\n" in plugin_reference()
    for field, info in plugin.parameter_model.model_fields.items():
        assert info.description, f"{name}.{field} has no description"


def test_a_type_is_either_ours_or_accepted_or_unsupported() -> None:
    assert not set(BUILTIN) & set(ACCEPTED)
    assert not set(UNSUPPORTED) & (set(BUILTIN) | set(ACCEPTED))


def test_the_schema_has_the_parameters_of_every_type() -> None:
    schema = config_schema()
    entry = schema["$defs"]["PluginSpec"]
    assert set(entry["properties"]["type"]["enum"]) == {*BUILTIN, *ACCEPTED}
    load_aware = schema["$defs"]["parameters of load-aware-scorer"]
    assert load_aware["properties"]["threshold"]["exclusiveMinimum"] == 0
    assert load_aware["additionalProperties"] is False
    assert schema["properties"]["schedulingProfiles"]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for inner in value.values() for found in _references(inner)]
    return [found for inner in value for found in _references(inner)] if isinstance(value, list) else []


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    schema = config_schema()
    for reference in _references(schema):
        assert reference.removeprefix("#/$defs/").replace("%20", " ") in schema["$defs"]


def test_a_configuration_can_be_loaded_with_every_type_that_needs_no_parameters() -> None:
    simple = [
        name
        for name, plugin in BUILTIN.items()
        if plugin.role in ("scorer", "filter", "decider", "detector", "producer", "admitter")
        and not any(info.is_required() for info in plugin.parameter_model.model_fields.values())
    ]
    listed = ", ".join(f"{{type: {name}}}" for name in [*simple, *ACCEPTED])
    policy = load_policy(f"apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{listed}]", name="x")
    assert {plugin.type for plugin in policy.plugins} >= set(simple)
