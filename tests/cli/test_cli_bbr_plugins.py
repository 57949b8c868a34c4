"""``--plugin`` of body-based routing: what is built in is accepted, anything else is refused by name."""

from __future__ import annotations

import pytest

from signalbox.cli.bbr_plugins import plugin_notes


@pytest.mark.parametrize(
    "written",
    [
        "body-field-to-header:model",
        'body-field-to-header:model:{"fieldName": "model"}',
        'body-field-to-header:model:{"fieldName": "model", "headerName": "x-gateway-model-name"}',
        "base-model-to-header:base",
        "base-model-to-header:base:{}",
    ],
)
def test_what_is_built_in_is_said_to_be(written: str) -> None:
    assert plugin_notes([written]) == [f"--plugin {written}: this is built in"]


def test_none_needs_no_note() -> None:
    assert plugin_notes([]) == []


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("guardrail:g", "'guardrail' is not done here; the plugins are body-field-to-header, base-model-to-header"),
        ("body-field-to-header", "write TYPE:NAME or TYPE:NAME:JSON"),
        ('body-field-to-header:x:{"fieldName": "user"}', "fieldName can only be model here"),
        ('body-field-to-header:x:{"headerName": "X-Other"}', "headerName can only be X-Gateway-Model-Name here"),
        ('base-model-to-header:x:{"fieldName": "model"}', "fieldName is no parameter of this plugin; remove it"),
        ("body-field-to-header:x:{", "the parameters are no JSON"),
        ("body-field-to-header:x:[]", "the parameters are no JSON object"),
    ],
)
def test_what_is_not_done_here_is_refused_with_the_value(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="--plugin ") as caught:
        plugin_notes(["base-model-to-header:base", written])
    assert complaint in str(caught.value)
    assert written in str(caught.value)
