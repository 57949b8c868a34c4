"""Who sends a request, where no header names a fairness id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from signalbox.scheduling import load_policy
from signalbox.scheduling.configuration.plugin_section import Declared
from signalbox.scheduling.identity import AgentIdentity

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nfeatureGates: [flowControl]\n"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, ""),
        ({"x-claude-code-session-id": "a", "session-id": "b"}, "a"),
        ({"x-claude-code-session-id": "", "x-session-affinity": "c", "session_id": "d"}, "c"),
        ({"session-id": "e", "session_id": "d"}, "e"),
        ({"session_id": "d"}, "d"),
        ({"x-own": "f", "x-claude-code-session-id": "a"}, "f"),
        ({"x-session": "g"}, ""),
    ],
)
def test_the_first_header_that_says_counts(headers: dict[str, str], found: str) -> None:
    policy = load_policy(
        f"{HEAD}plugins: [{{type: agent-identity, parameters: {{additionalSessionHeaders: [X-Own]}}}}]", name="epp.yaml"
    )
    assert policy.identifies
    assert policy.fairness_id(headers) == found
    assert not policy.notes


def test_without_an_identity_source_nobody_is_identified() -> None:
    policy = load_policy(HEAD, name="epp.yaml")
    assert not policy.identifies
    assert policy.fairness_id({"session-id": "a"}) == ""


@pytest.mark.parametrize("wrong", [None, 7, RuntimeError("no luck")])
def test_one_that_fails_is_passed_over(monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    def fails(self: AgentIdentity, headers: Mapping[str, str]) -> Any:
        if self.name == "second":
            return "b"
        if isinstance(wrong, Exception):
            raise wrong
        return wrong

    monkeypatch.setattr(AgentIdentity, "fairness_id", fails)
    text = f"{HEAD}plugins: [{{type: agent-identity, name: first}}, {{type: agent-identity, name: second}}]"
    policy = load_policy(text, name="epp.yaml")
    assert policy.fairness_id({}) == "b"
    assert policy.faults == {"first": 1}


def test_one_of_another_package_looks_at_the_headers_and_does_not_change_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def writes(self: AgentIdentity, headers: Any) -> str:
        headers["session-id"] = "forged"
        return "forged"

    monkeypatch.setattr(AgentIdentity, "fairness_id", writes)
    monkeypatch.setattr(Declared, "is_foreign", lambda self, plugin: plugin.type == AgentIdentity.type)
    policy = load_policy(f"{HEAD}plugins: [{{type: agent-identity}}]", name="epp.yaml")
    headers = {"session-id": "a"}
    assert policy.fairness_id(headers) == ""
    assert headers == {"session-id": "a"}
    assert policy.faults == {"agent-identity": 1}
