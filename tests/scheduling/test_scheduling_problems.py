"""What is wrong with a configuration, and what is said about it."""

from __future__ import annotations

import pytest

from signalbox.scheduling import InvalidPolicy, load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"

# After the two lines of the head: the body of a file, and after "=>" the one problem it has.
CASES = """\
plugin: []
=> epp.yaml:3 plugin: is not a known field; did you mean 'plugins'?
%
plugins: [{name: a}]
=> epp.yaml:3 plugins[0].type: is required; add type
%
plugins:
- type: queue-scorr
=> epp.yaml:4 plugins[0].type: 'queue-scorr' is not a known plugin type; did you mean 'queue-scorer'?
%
plugins:
- type: zzz
=> epp.yaml:4 plugins[0].type: 'zzz' is not a known plugin type; use a type of the plugin reference, or install its
   package
%
plugins:
- type: burst-prefix-cache-producer
=> epp.yaml:4 plugins[0].type: 'burst-prefix-cache-producer' is not supported: requests are not held back to be grouped;
   remove it and what refers to it
%
plugins:
- type: queue-scorer
- type: queue-scorer
=> epp.yaml:5 plugins[1].type: the name 'queue-scorer' is already used by plugins[0]; give one of the two another
   name
%
plugins:
- type: load-aware-scorer
  parameters:
    treshold: 5
=> epp.yaml:6 plugins[0].parameters.treshold: is not a known field; did you mean 'threshold'?
%
plugins:
- type: load-aware-scorer
  parameters: {threshold: 0}
=> epp.yaml:5 plugins[0].parameters.threshold: must be more than 0, got 0; use a number in that range
%
plugins:
- type: load-aware-scorer
  parameters: {threshold: minus}
=> epp.yaml:5 plugins[0].parameters.threshold: expected a number, got the string 'minus'; write a plain number
%
plugins:
- type: mm-embeddings-cache-producer
  parameters: {cacheSizeInMBPerServer: "4096"}
=> epp.yaml:5 plugins[0].parameters.cacheSizeInMBPerServer: expected a number, got the string '4096'; write 4096 without
   quotes
%
plugins:
- type: endpoint-attribute-scorer
  parameters: {attributeKey: custom.x, algorithm: {type: linear_lower_is_better}}
=> epp.yaml:5 plugins[0].parameters.attributeKey: 'custom.x' is not an attribute of an endpoint here; use one of
   waiting, running, kv_usage, block_size, kv_blocks, lora_max, lora_active, inflight, inflight_tokens,
   failed_scrapes
%
plugins:
- type: prefix-cache-affinity-filter
  parameters: {ttftSource: guess}
=> epp.yaml:5 plugins[0].parameters.ttftSource: must be one of prefillThroughput, latencyPredictor, got the string
   'guess'; use one of them
%
plugins:
- type: latency-scorer
  parameters: {latencyPredictionInfoProducerName: mine}
=> epp.yaml:5 plugins[0].parameters.latencyPredictionInfoProducerName: 'mine' is not a plugin of type
   predicted-latency-producer; use one of predicted-latency-producer
%
plugins:
- name: predicted-latency-producer
  type: queue-scorer
- type: latency-slo-admitter
=> epp.yaml:6 plugins[1].parameters.latencyPredictionInfoProducerName: there is no plugin of type
   predicted-latency-producer; add one to plugins and name it here
%
plugins:
- type: session-id-producer
  parameters: {headerName: x-a, cookieName: b}
=> epp.yaml:5 plugins[0].parameters.cookieName: cannot be given beside headerName; keep one of the two
%
plugins:
- type: topology-affinity-filter
  parameters: {peerTopologyHeader: x-peer-topology}
=> epp.yaml:5 plugins[0].parameters.peerTopologyHeader: is not supported: nobody here writes or reads the place of an
   endpoint in a header; remove it
%
plugins:
- type: prefix-cache-scorer
  parameters: {prefixMatchInfoProducerName: cpu}
=> epp.yaml:5 plugins[0].parameters.prefixMatchInfoProducerName: 'cpu' is not a plugin of type
   approx-prefix-cache-producer; add a plugin of type approx-prefix-cache-producer with this name, or remove the
   field
%
plugins:
- type: prefix-cache-scorer
  parameters: {lruCapacityPerServer: 5}
=> epp.yaml:5 plugins[0].parameters.lruCapacityPerServer: is no parameter of this scorer; list it under type
   approx-prefix-cache-producer
%
plugins:
- type: token-producer
  parameters: {vllm: {url: "ftp://x"}}
=> epp.yaml:5 plugins[0].parameters.vllm.url: 'ftp://x' is not allowed here; write a URL
%
plugins:
- type: utilization-detector
  parameters: {metricsStalenessThreshold: 200}
=> epp.yaml:5 plugins[0].parameters.metricsStalenessThreshold: expected a duration, got the integer 200; write a
   number with a unit, like '200ms' or '5m'
%
featureGates: [flowcontrol]
=> epp.yaml:3 featureGates[0]: 'flowcontrol' is not a known feature gate; did you mean 'flowControl'?
%
featureGates: [dataLayer=maybe]
=> epp.yaml:3 featureGates[0]: 'maybe' is neither true nor false; write dataLayer=true or dataLayer=false
%
schedulingProfiles:
- name: a
  plugins:
  - pluginRef: queue
=> epp.yaml:6 schedulingProfiles[0].plugins[0].pluginRef: 'queue' is not in plugins; add it to plugins
%
plugins: [{type: openai-parser}]
schedulingProfiles:
- {name: a, plugins: [{pluginRef: openai-parser}]}
=> epp.yaml:5 schedulingProfiles[0].plugins[0].pluginRef: 'openai-parser' is a parser, and profiles hold filters,
   scorers and a picker; remove it from the profile
%
plugins: [{type: always-disagg-pd-decider}]
schedulingProfiles:
- {name: a, plugins: [{pluginRef: always-disagg-pd-decider}]}
=> epp.yaml:5 schedulingProfiles[0].plugins[0].pluginRef: 'always-disagg-pd-decider' is a decider, and profiles hold
   filters, scorers and a picker; remove it from the profile
%
schedulingProfiles: [{name: a}, {name: b}]
=> epp.yaml:3 schedulingProfiles: there are 2 profiles and no profile handler; add header-profile-handler or
   disagg-profile-handler to plugins, or keep one profile
%
plugins: [{type: single-profile-handler}]
schedulingProfiles: [{name: a}, {name: b}]
=> epp.yaml:3 plugins[0].parameters: runs one profile, and there are 2: a, b; keep one, or use
   header-profile-handler or disagg-profile-handler
%
plugins:
- type: single-profile-handler
- type: disagg-profile-handler
schedulingProfiles: [{name: decode}]
=> epp.yaml:5 plugins[1]: 'disagg-profile-handler' is a second profile handler beside 'single-profile-handler'; keep
   one of them
%
plugins: [{type: header-profile-handler}]
schedulingProfiles: [{name: a}]
=> epp.yaml:3 plugins[0].parameters.defaultProfile: names 'decode', which is not a profile; use one of a
%
plugins:
- type: disagg-profile-handler
  parameters: {deciders: {prefill: nobody}}
schedulingProfiles: [{name: decode}]
=> epp.yaml:5 plugins[0].parameters.deciders.prefill: names 'nobody', which is not in plugins; add a decider, like
   always-disagg-pd-decider, to plugins
%
plugins:
- type: always-disagg-pd-decider
- type: disagg-profile-handler
  parameters: {deciders: {prefill: always-disagg-pd-decider}}
schedulingProfiles: [{name: decode}]
=> epp.yaml:6 plugins[1].parameters.profiles.prefill: names 'prefill', which is not a profile; add a profile
   'prefill' to schedulingProfiles
%
plugins:
- type: disagg-profile-handler
  parameters: {stageOrder: prefill-first, deciders: {prefill: x}}
=> epp.yaml:5 plugins[0].parameters.deciders.prefill: is not allowed with stageOrder prefill-first, which always
   prefills; remove it or use decode-first
%
saturationDetector: {pluginRef: ''}
=> epp.yaml:3 saturationDetector.pluginRef: must not be empty; write the name of a detector
%
saturationDetector: {pluginRef: nope}
=> epp.yaml:3 saturationDetector.pluginRef: 'nope' is not in plugins; add a detector to plugins
%
plugins: [{type: queue-scorer}]
parser: {pluginRef: queue-scorer}
=> epp.yaml:4 parser.pluginRef: 'queue-scorer' is not a parser; name a parser of plugins
%
dataLayer: {discovery: {pluginRef: file-discovery}}
=> epp.yaml:3 dataLayer.discovery: is not supported: endpoints come from manifests or the Kubernetes API, as the
   picker's flags say; remove it
%
flowControl: {maxBytes: -1}
=> epp.yaml:3 flowControl.maxBytes: expected a quantity, got the integer -1; write a number like 500, '5k' or '10Gi'
%
plugins: []
plugins: []
=> epp.yaml:4: the key 'plugins' is given twice, first in line 3; remove one of the two
%
plugins: [
=> epp.yaml:4: is not valid YAML: did not find expected node content; CHECK
%
---
kind: x
=> epp.yaml:4: holds several documents; keep one EndpointPickerConfig
"""


SEVERAL = """\
plugin: []
plugins:
- {type: load-aware-scorer, parameters: {threshold: 0}}
- {name: a}
- {name: b, type: 5}
- {type: queue-scorer, wieght: 3}
- {type: zzz}
featureGates: [nope]
dataLayer: {sources: [5], more: 1}
saturationDetector: {pluginRef: nope}
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer, weigth: 2}, {pluginRef: 5}, {pluginRef: nobody}, {pluginRef: b}, {pluginRef: zzz}]
"""
SEVERAL_FIELDS = [
    (3, "plugin"),
    (5, "plugins[0].parameters.threshold"),
    (6, "plugins[1].type"),
    (7, "plugins[2].type"),
    (8, "plugins[3].wieght"),
    (9, "plugins[4].type"),
    (10, "featureGates[0]"),
    (11, "dataLayer.sources[0]"),
    (11, "dataLayer.more"),
    (12, "saturationDetector.pluginRef"),
    (15, "schedulingProfiles[0].plugins[0].weigth"),
    (15, "schedulingProfiles[0].plugins[1].pluginRef"),
    (15, "schedulingProfiles[0].plugins[2].pluginRef"),
]


def _cases() -> list[tuple[str, str]]:
    pairs = []
    for case in CASES.split("\n%\n"):
        body, _, expected = case.partition("\n=> ")
        pairs.append((body, " ".join(expected.split())))
    return pairs


@pytest.mark.parametrize(("body", "expected"), _cases())
def test_a_problem_names_line_field_and_fix(body: str, expected: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(HEAD + body, name="epp.yaml")
    expected = expected.replace("CHECK", "check the indentation and the punctuation there and on the line before")
    assert [str(problem) for problem in caught.value.problems] == [expected]


def _told(body: str) -> list[tuple[int, str]]:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(HEAD + body, name="epp.yaml")
    return [(problem.origin.line, problem.field) for problem in caught.value.problems]


def test_all_problems_are_told_at_once_each_on_its_line_and_what_refers_to_one_is_none() -> None:
    assert _told(SEVERAL) == SEVERAL_FIELDS


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("plugins: 5\nfeatureGates: [x]\nparser: {pluginRef: y}\n", [(3, "plugins"), (4, "featureGates[0]")]),
        (
            "plugins: [{type: disagg-profile-handler}, {type: zz}]\nschedulingProfiles: [{name: 5}]\n",
            [(3, "plugins[1].type"), (4, "schedulingProfiles[0].name")],
        ),
        (
            "more: 1\nschedulingProfiles: [{name: a}, {name: a}]\n",
            [(3, "more"), (4, "schedulingProfiles[1].name")],
        ),
        ("plugins: [null, {type: zz}]\n", [(3, "plugins[0]"), (3, "plugins[1].type")]),
        ("1: x\nplugins: [{type: zz}]\n", [(3, '["1"]'), (4, "plugins[0].type")]),
        (f"plugins: [{{type: {'a' * 300}}}]\n", [(3, "plugins[0].type")]),
    ],
)
def test_what_cannot_be_read_at_all_hides_as_little_as_it_must(body: str, expected: list[tuple[int, str]]) -> None:
    assert _told(body) == expected
