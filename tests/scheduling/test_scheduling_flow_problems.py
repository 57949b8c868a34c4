"""What is wrong with a section ``flowControl`` and its plugins, and what is said about it."""

from __future__ import annotations

import pytest

from signalbox.scheduling import InvalidPolicy, load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nfeatureGates: [flowControl]\n"

# After the gate: the body of a file, and after "=>" the one problem it has.
CASES = """\
flowControl: {maxRequest: 5}
=> epp.yaml:4 flowControl.maxRequest: is not a known field; did you mean 'maxRequests'?
%
flowControl: {maxBytes: -1}
=> epp.yaml:4 flowControl.maxBytes: expected a quantity, got the integer -1; write a number like 500, '5k' or '10Gi'
%
flowControl: {maxRequests: .inf}
=> epp.yaml:4 flowControl.maxRequests: expected a quantity, got the number inf; write a number like 500, '5k' or '10Gi'
%
flowControl: {defaultPriorityBand: {maxBytes: .nan}}
=> epp.yaml:4 flowControl.defaultPriorityBand.maxBytes: expected a quantity, got the number nan; write a number like
   500, '5k' or '10Gi'
%
flowControl: {maxBytes: -1.5}
=> epp.yaml:4 flowControl.maxBytes: expected a quantity, got the number -1.5; write a number like 500, '5k' or '10Gi'
%
flowControl: {defaultRequestTTL: -1.5}
=> epp.yaml:4 flowControl.defaultRequestTTL: expected a duration, got the number -1.5; write a number with a unit, like
   '200ms' or '5m'
%
flowControl: {noEndpointRequestTTL: .nan}
=> epp.yaml:4 flowControl.noEndpointRequestTTL: expected a duration, got the number nan; write a number with a unit,
   like '200ms' or '5m'
%
flowControl: {defaultRequestTTL: 99999999999999h}
=> epp.yaml:4 flowControl.defaultRequestTTL: the string '99999999999999h' is longer than 292 years; write a shorter
   duration
%
flowControl: {defaultRequestTTL: 60}
=> epp.yaml:4 flowControl.defaultRequestTTL: expected a duration, got the integer 60; write a number with a unit, like
   '200ms' or '5m'
%
flowControl: {noEndpointRequestTTL: -5s}
=> epp.yaml:4 flowControl.noEndpointRequestTTL: expected a duration, got the string '-5s'; write a number with a unit,
   like '200ms' or '5m'
%
flowControl:
  priorityBands:
  - {maxRequests: 5}
=> epp.yaml:6 flowControl.priorityBands[0].priority: is required; add priority
%
flowControl:
  priorityBands:
  - {priority: high}
=> epp.yaml:6 flowControl.priorityBands[0].priority: expected an integer, got the string 'high'; write a whole
   number
%
flowControl:
  priorityBands:
  - {priority: 1}
  - {priority: 1}
=> epp.yaml:7 flowControl.priorityBands[1].priority: 1 is already used by entry 0; use each value once
%
flowControl:
  priorityBands:
  - {priority: 0, fairnessPolicyRef: round-robin}
=> epp.yaml:6 flowControl.priorityBands[0].fairnessPolicyRef: 'round-robin' is not in plugins; add a fairness policy to
   plugins
%
flowControl:
  defaultPriorityBand: {orderingPolicyRef: efd-ordering-policy}
=> epp.yaml:5 flowControl.defaultPriorityBand.orderingPolicyRef: 'efd-ordering-policy' is not in plugins; did you mean
   'edf-ordering-policy'?
%
flowControl:
  defaultNegativePriorityBand: {fairnessPolicyRef: fcfs-ordering-policy}
=> epp.yaml:5 flowControl.defaultNegativePriorityBand.fairnessPolicyRef: 'fcfs-ordering-policy' is an ordering policy,
   not a fairness policy; add a fairness policy to plugins
%
flowControl:
  defaultPriorityBand: {orderingPolicyRef: round-robin-fairness-policy}
=> epp.yaml:5 flowControl.defaultPriorityBand.orderingPolicyRef: 'round-robin-fairness-policy' is a fairness policy, not
   an ordering policy; add an ordering policy to plugins
%
plugins: [{type: openai-parser}]
flowControl:
  usageLimitPolicyPluginRef: openai-parser
=> epp.yaml:6 flowControl.usageLimitPolicyPluginRef: 'openai-parser' is a parser, not a usage limit policy; add a usage
   limit policy to plugins
%
flowControl:
  usageLimitPolicyPluginRef: priority-holdback-policy
=> epp.yaml:5 flowControl.usageLimitPolicyPluginRef: 'priority-holdback-policy' cannot do without minCeiling, and is not
   in plugins; list it there with its parameters
%
plugins:
- type: priority-holdback-policy
flowControl: {usageLimitPolicyPluginRef: priority-holdback-policy}
=> epp.yaml:5 plugins[0].parameters.minCeiling: is required; add minCeiling
%
plugins:
- type: priority-holdback-policy
  parameters: {minCeiling: 0.9, maxCeiling: 0.9}
=> epp.yaml:6 plugins[0].parameters.minCeiling: must be less than maxCeiling, 0.9, got 0.9; lower it, or use
   static-usage-limit-policy for one ceiling
%
plugins:
- type: priority-holdback-policy
  parameters: {minCeiling: 0.5, shape: cubic}
=> epp.yaml:6 plugins[0].parameters.shape: must be linear, got the string 'cubic'; write linear
%
plugins:
- type: soft-reflective-ceiling-policy
  parameters: {threshold: 0.5}
=> epp.yaml:6 plugins[0].parameters.threshold: is not a known field; remove it; there are none
%
plugins:
- type: program-aware-fairness
  parameters: {lasDecayFactor: 1.5}
=> epp.yaml:6 plugins[0].parameters.lasDecayFactor: must be more than 0 and at most 1, got 1.5; use a number in that
   range
%
plugins:
- type: agent-identity
  parameters: {additionalSessionHeaders: ["a b"]}
=> epp.yaml:6 plugins[0].parameters.additionalSessionHeaders[0]: 'a b' is not allowed here; write an HTTP header name
%
flowControl: {enableEviction: 1}
=> epp.yaml:4 flowControl.enableEviction: expected true or false, got the integer 1; write true or false
%
plugins:
- type: sheddable-eviction-filter
flowControl: {usageLimitPolicyPluginRef: sheddable-eviction-filter}
=> epp.yaml:6 flowControl.usageLimitPolicyPluginRef: 'sheddable-eviction-filter' is an eviction filter, not a usage
   limit policy; add a usage limit policy to plugins
%
plugins: [{type: round-robin-fairness-policy}]
schedulingProfiles:
- name: a
  plugins:
  - pluginRef: round-robin-fairness-policy
=> epp.yaml:8 schedulingProfiles[0].plugins[0].pluginRef: 'round-robin-fairness-policy' is a fairness policy, and
   profiles hold filters, scorers and a picker; remove it from the profile
%
plugins: [{type: fcfs-ordering-policy}]
saturationDetector: {pluginRef: fcfs-ordering-policy}
=> epp.yaml:5 saturationDetector.pluginRef: 'fcfs-ordering-policy' is an ordering policy, not a detector; add a detector
   to plugins
"""


def _cases() -> list[tuple[str, str]]:
    pairs = []
    for case in CASES.split("\n%\n"):
        body, _, expected = case.partition("\n=> ")
        pairs.append((body, " ".join(expected.split())))
    return pairs


def test_a_number_of_more_digits_than_a_float_holds_is_told_like_any_other_mistake() -> None:
    with pytest.raises(InvalidPolicy, match="expected a quantity, got the string '9999"):
        load_policy(f"{HEAD}flowControl: {{maxRequests: '{'9' * 400}'}}", name="epp.yaml")
    with pytest.raises(InvalidPolicy, match=r"9999\.\.\.' cannot be read; write it in quotes") as caught:
        load_policy(f"{HEAD}flowControl: {{maxRequests: {'9' * 400}}}", name="epp.yaml")
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize(("body", "expected"), _cases())
def test_a_problem_names_line_field_and_fix(body: str, expected: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(HEAD + body, name="epp.yaml")
    assert [str(problem) for problem in caught.value.problems] == [expected]


def test_what_refers_to_a_plugin_with_a_problem_is_no_problem_of_its_own() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(
            f"{HEAD}plugins: [{{type: program-aware-fairness, name: a, parameters: {{strategy: drr}}}}]\n"
            "flowControl: {defaultPriorityBand: {fairnessPolicyRef: a}}",
            name="epp.yaml",
        )
    assert [problem.field for problem in caught.value.problems] == ["plugins[0].parameters.strategy"]
