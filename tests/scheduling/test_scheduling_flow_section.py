"""The section ``flowControl``: what it means, and what is said about what has no effect."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from signalbox.admission.flow import Flow, FlowQueues, FlowSettings, Turn
from signalbox.scheduling import InvalidPolicy, Parameters, Policy, load_policy
from signalbox.scheduling import registry as registry_module
from signalbox.scheduling.configuration.flow_section import gate_is_on
from signalbox.scheduling.configuration.models import API_VERSIONS
from signalbox.scheduling.configuration.schema import config_schema
from signalbox.scheduling.fairness import ProgramAware
from signalbox.scheduling.queueing import UsageLimitPlugin
from signalbox.scheduling.registry import GROUP

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
ON = f"{HEAD}featureGates: [flowControl]\n"


def load(body: str, head: str = ON) -> Policy:
    return load_policy(head + body, name="epp.yaml")


def flow(body: str, head: str = ON) -> FlowSettings:
    settings = load(body, head).flow
    assert settings is not None
    return settings


@pytest.mark.parametrize("version", API_VERSIONS)
def test_the_gate_alone_brings_the_defaults(version: str) -> None:
    settings = flow("", f"apiVersion: {version}\nkind: EndpointPickerConfig\nfeatureGates: [flowControl]\n")
    assert settings.negative is settings.default
    assert (settings.default.max_bytes, settings.default.max_requests) == (1_000_000_000, 5000)
    assert settings.default.fairness.type == "global-strict-fairness-policy"
    assert settings.default.ordering.type == "fcfs-ordering-policy"
    assert settings.usage_limit.type == "static-usage-limit-policy"
    assert (settings.bands, settings.max_bytes, settings.max_requests) == ({}, None, None)
    assert (settings.ttl, settings.no_endpoint_ttl) == (60.0, 60.0)


@pytest.mark.parametrize(
    ("gates", "on"),
    [
        ((), False),
        (("flowControl",), True),
        (("flowControl=true",), True),
        (("flowControl=TRUE",), True),
        (("flowControl=false",), False),
        (("flowControl", "flowControl=false"), False),
        (("dataLayer",), False),
    ],
)
def test_the_last_mention_of_the_gate_counts(gates: tuple[str, ...], on: bool) -> None:
    assert gate_is_on(gates) is on
    settings = load(f"featureGates: {json.dumps(gates)}\n", HEAD).flow
    assert (settings is not None) is on


@pytest.mark.parametrize(
    ("body", "times"),
    [
        ("{defaultRequestTTL: 1m30s}", (90.0, 90.0)),
        ("{defaultRequestTTL: 0s}", (None, None)),
        ("{defaultRequestTTL: 0s, noEndpointRequestTTL: 5m}", (None, 300.0)),
        ("{noEndpointRequestTTL: 0s}", (60.0, None)),
    ],
)
def test_how_long_requests_wait(body: str, times: tuple[float | None, float | None]) -> None:
    settings = flow(f"flowControl: {body}")
    assert (settings.ttl, settings.no_endpoint_ttl) == times


def test_eviction_is_off_unless_it_is_switched_on() -> None:
    assert not flow("").evicts
    assert not flow("flowControl: {enableEviction: false}").evicts
    assert flow(
        "plugins: [{type: sheddable-eviction-filter}, {type: priority-then-time-eviction-order-policy}]\n"
        "flowControl: {enableEviction: true}"
    ).evicts


def test_limits_are_quantities_and_nothing_means_the_default_for_a_band() -> None:
    settings = flow(
        "flowControl: {maxBytes: 0, maxRequests: 1.5k, defaultPriorityBand: {maxBytes: 1Gi, maxRequests: 0},"
        " defaultNegativePriorityBand: {maxRequests: 7}, priorityBands: [{priority: 3, maxBytes: '0'}]}"
    )
    assert (settings.max_bytes, settings.max_requests) == (None, 1500)
    assert (settings.default.max_bytes, settings.default.max_requests) == (2**30, 5000)
    assert (settings.negative.max_bytes, settings.negative.max_requests) == (10**9, 7)
    assert (settings.bands[3].max_bytes, settings.bands[3].max_requests) == (10**9, 5000)
    assert settings.band(3) is settings.bands[3]
    assert settings.band(4) is settings.band(0) is settings.default
    assert settings.band(-1) is settings.negative


def test_policies_are_named_by_name_or_by_type() -> None:
    policy = load(
        """
plugins:
- {type: program-aware-fairness, name: agents, parameters: {lasHalfLifeSeconds: 5}}
- {type: priority-holdback-policy, parameters: {minCeiling: 0.5}}
flowControl:
  usageLimitPolicyPluginRef: priority-holdback-policy
  defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy, orderingPolicyRef: edf-ordering-policy}
  priorityBands:
  - {priority: 1, fairnessPolicyRef: agents, orderingPolicyRef: slo-deadline-ordering-policy}
  - {priority: 2, fairnessPolicyRef: agents, orderingPolicyRef: edf-ordering-policy}
"""
    )
    settings = policy.flow
    assert settings is not None
    assert settings.usage_limit.parameters.min_ceiling == 0.5
    assert settings.default.fairness.type == "round-robin-fairness-policy"
    assert settings.bands[1].fairness is settings.bands[2].fairness
    assert settings.bands[1].fairness.parameters.las_half_life_seconds == 5
    assert settings.bands[2].ordering is settings.default.ordering
    assert "slo-deadline-ordering-policy" in [plugin.name for plugin in policy.plugins]
    assert not policy.notes


def test_what_a_policy_has_learned_outlives_a_reload() -> None:
    text = "flowControl: {defaultPriorityBand: {fairnessPolicyRef: program-aware-fairness-policy}}"
    before, after = load(text), load(text)
    assert before.flow is not None
    assert after.flow is not None
    FlowQueues(before.flow).finished(Flow("a", 0), 10, 0, 0.0)
    after.adopt(before)
    fairness = after.flow.default.fairness
    assert isinstance(fairness, ProgramAware)
    assert fairness.service.tokens("a", 0.0) == pytest.approx(10)


@pytest.mark.parametrize(
    ("head", "body", "notes"),
    [
        (ON, "flowControl: {saturationDetector: {pluginRef: utilization-detector}}", []),
        (ON, "plugins: [{type: fcfs-ordering-policy}]", []),
        (
            ON,
            "plugins: [{type: edf-ordering-policy}]",
            ["plugins[0]: edf-ordering-policy is not referred to by flowControl and has no effect"],
        ),
        (
            ON,
            "flowControl: {defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy},"
            " priorityBands: [{priority: 7}]}",
            [
                "flowControl.priorityBands[0].fairnessPolicyRef: is not 'round-robin-fairness-policy':"
                " defaultPriorityBand is for priorities that are not listed"
            ],
        ),
        (
            ON,
            "flowControl: {maxRequests: 0, defaultNegativePriorityBand: {maxRequests: 0}}",
            ["flowControl.defaultNegativePriorityBand.maxRequests: is 5000: 0 stands for the default, not for none"],
        ),
        (HEAD, "flowControl: {saturationDetector: {pluginRef: utilization-detector}}", []),
        (
            HEAD,
            "plugins: [{type: agent-identity}, {type: round-robin-fairness-policy}]\n"
            "flowControl: {enableEviction: true, priorityBands: [{priority: 7, fairnessPolicyRef: whatever}]}",
            [
                "flowControl: has no effect but for saturationDetector: requests do not queue in the picker"
                " (the feature gate flowControl is off)",
                "plugins[0]: agent-identity has no effect: the feature gate flowControl is off",
                "plugins[1]: round-robin-fairness-policy has no effect: the feature gate flowControl is off",
            ],
        ),
    ],
)
def test_what_has_no_effect_is_said(head: str, body: str, notes: list[str]) -> None:
    assert list(load(body, head).notes) == notes


def test_the_schema_for_editors_knows_the_policies() -> None:
    schema = config_schema()
    types = schema["$defs"]["PluginSpec"]["properties"]["type"]["enum"]
    assert {"round-robin-fairness-policy", "program-aware-fairness", "agent-identity"} <= set(types)
    assert "minCeiling" in schema["$defs"]["parameters of priority-holdback-policy"]["required"]
    assert "noEndpointRequestTTL" in schema["$defs"]["FlowControl"]["properties"]


class Always(UsageLimitPlugin[Parameters]):
    """A ceiling of its own package's."""

    type = "always-policy"
    answer: Any = 5.0

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        """Return the same for all."""
        return [self.answer for _ in priorities]


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the policy above as another package would."""
    module = type(sys)(__name__)
    module.__dict__.update(globals())
    monkeypatch.setitem(sys.modules, __name__, module)
    entries = EntryPoints([EntryPoint(Always.type, f"{__name__}:Always", GROUP)])
    monkeypatch.setattr(registry_module, "entry_points", lambda group: entries.select(group=group))


@pytest.mark.usefixtures("foreign")
def test_a_policy_of_another_package_takes_part_and_its_faults_are_the_policys(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load("plugins: [{type: always-policy}]\nflowControl: {usageLimitPolicyPluginRef: always-policy}")
    assert policy.flow is not None
    waiting = FlowQueues(policy.flow)
    one, other = Turn(Flow("", 0), 1, 0.0), Turn(Flow("", 0), 1, 0.0)
    assert waiting.offer(one, 0.0) is None
    assert waiting.offer(other, 0.0) is None
    assert waiting.next(0.0, 4.0) is one
    monkeypatch.setattr(Always, "answer", None)
    assert waiting.next(0.0, 4.0) is None, "the default ceiling is 1"
    assert policy.faults == {"always-policy": 1}


@pytest.mark.usefixtures("foreign")
def test_a_policy_of_another_package_is_listed_before_it_is_referred_to() -> None:
    with pytest.raises(InvalidPolicy, match="'always-policy' is not in plugins"):
        load("flowControl: {usageLimitPolicyPluginRef: always-policy}")
