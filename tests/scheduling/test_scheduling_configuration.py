"""An EndpointPickerConfig is checked whole: every problem has its line, its field and its fix."""

from __future__ import annotations

import contextlib
import json
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.scheduling import InvalidPolicy, Policy, load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def load(body: str, head: str = HEAD) -> Policy:
    return load_policy(head + textwrap.dedent(body), name="epp.yaml")


def problems(body: str, head: str = HEAD) -> list[str]:
    with pytest.raises(InvalidPolicy) as caught:
        load(body, head)
    return [str(problem) for problem in caught.value.problems]


def shape(policy: Policy, profile: str = "default") -> tuple[list[str], dict[str, float], str]:
    built = policy.profiles[profile]
    return (
        [plugin.name for plugin in built.filters],
        {plugin.name: weight for plugin, weight in built.scorers},
        built.picker.name,
    )


DEFAULTS = {"queue-scorer": 2, "kv-cache-utilization-scorer": 2, "prefix-cache-scorer": 3}


@pytest.mark.parametrize("group", ["llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1"])
def test_a_configuration_that_says_nothing_is_the_default(group: str) -> None:
    policy = load("", f"apiVersion: {group}\nkind: EndpointPickerConfig\n")
    assert shape(policy) == (["reachable"], DEFAULTS, "max-score-picker")
    assert (policy.handler.type, policy.detector.type) == ("single-profile-handler", "utilization-detector")
    assert policy.prefix is not None
    assert policy.notes == ()
    assert shape(load_policy("", name="")) == shape(policy)


def test_without_profiles_everything_listed_is_used_in_order() -> None:
    policy = load("plugins: [{type: queue-scorer}, {type: decode-filter}, {type: random-picker}]")
    assert shape(policy) == (["decode-filter", "reachable"], {"queue-scorer": 1}, "random-picker")
    assert policy.prefix is None, "nobody reads it"
    assert shape(load("plugins: [{type: decode-filter}]"))[1] == DEFAULTS


def test_plugins_run_in_the_order_of_the_profile_and_weights_default_to_one() -> None:
    policy = load(
        """
        plugins:
        - {type: queue-scorer, name: q}
        - {type: prefill-filter}
        - {type: label-selector-filter, parameters: {matchLabels: {a: b}}}
        - {type: reachable, parameters: {failures: 1}}
        - {type: kv-cache-utilization-scorer}
        schedulingProfiles:
        - name: default
          plugins:
          - {pluginRef: label-selector-filter}
          - {pluginRef: kv-cache-utilization-scorer}
          - {pluginRef: reachable}
          - {pluginRef: q, weight: 2.5}
        """
    )
    filters, scorers, picker = shape(policy)
    assert filters == ["label-selector-filter", "reachable"]
    assert list(scorers.items()) == [("kv-cache-utilization-scorer", 1.0), ("q", 2.5)]
    assert picker == "max-score-picker"
    assert policy.notes == ("plugins[1]: prefill-filter is in no profile and has no effect",)


def test_a_profile_without_a_picker_takes_the_one_that_is_listed() -> None:
    body = "plugins: [{type: random-picker}, {type: queue-scorer}]\nschedulingProfiles:\n- {name: a, plugins: []}\n"
    assert shape(load(body), "a")[2] == "random-picker"


def test_a_scorer_that_filters_stands_among_the_filters_and_no_fallback_gets_around_it() -> None:
    policy = load("plugins: [{type: context-length-aware, parameters: {enableFiltering: true}}]")
    assert shape(policy)[0] == ["context-length-aware", "reachable"]
    assert policy.profiles["default"].binding == 1


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([], ["reachable"]),
        (["decode-filter", "session-affinity-filter"], ["decode-filter", "reachable", "session-affinity-filter"]),
        (["session-affinity-filter", "decode-filter"], ["reachable", "session-affinity-filter", "decode-filter"]),
        (["decode-filter", "session-affinity-filter", "reachable"], None),
    ],
)
def test_reachable_comes_before_the_first_preference_unless_it_is_named(
    listed: list[str], expected: list[str] | None
) -> None:
    policy = load(f"plugins: [{', '.join(f'{{type: {name}}}' for name in listed)}]")
    assert shape(policy)[0] == (expected or listed)


def test_decode_servers_that_all_stop_answering_scrapes_are_still_used(world: Any) -> None:
    roles = [{"llm-d.ai/role": role} for role in ("decode", "decode", "prefill")]
    state = world(3, labels=roles, failed_scrapes=[9, 9, 0])
    decision = load("plugins: [{type: decode-filter}]").schedule(state.cycle(), state.rows)
    assert decision is not None
    assert set(decision.rows) == {0, 1}


@pytest.mark.parametrize("place", ["saturationDetector:", "flowControl:\n  saturationDetector:"])
def test_the_saturation_detector_in_both_places(place: str) -> None:
    detector = "plugins: [{type: concurrency-detector, parameters: {maxConcurrency: 132}}]\n"
    policy = load(f"{detector}{place} {{pluginRef: concurrency-detector}}")
    assert policy.detector.parameters.max_concurrency == 132


def test_what_has_no_effect_is_said() -> None:
    policy = load(
        """
        featureGates: [flowControl=false, dataLayer]
        plugins:
        - {type: passthrough-parser}
        - {type: approx-prefix-cache-producer, parameters: {blockSizeTokens: 64}}
        - {type: approx-prefix-cache-producer, name: cpu, parameters: {autoTune: false}}
        - {type: inflight-load-producer, parameters: {outputRatio: 2}}
        requestHandler: {parsers: [{pluginRef: passthrough-parser}, {pluginRef: openai-parser}]}
        dataLayer: {injectDefaults: false, sources: [{pluginRef: metrics-data-source}]}
        flowControl: {maxBytes: 10Gi, defaultRequestTTL: 60s, priorityBands: [{priority: 1, maxRequests: 1k}]}
        schedulingProfiles: [{name: default, plugins: [{pluginRef: max-score-picker, weight: 1}]}]
        """.replace("[{pluginRef: max-score-picker, weight: 1}]", "[]")
    )
    assert [note.partition(":")[0] for note in policy.notes] == [
        "featureGates[1]",
        "plugins[0]",
        "plugins[2]",
        "plugins[3]",
        "dataLayer.injectDefaults",
        "flowControl",
    ]
    assert policy.passthrough
    assert policy.parsers == ("passthrough-parser", "openai-parser")


def test_the_first_prefix_producer_counts() -> None:
    policy = load("plugins: [{type: prefix-cache-scorer}, {type: approx-prefix-cache-producer, name: a,"
                  " parameters: {blockSizeTokens: 64}}, {type: approx-prefix-cache-producer, name: b}]")  # fmt: skip
    assert policy.prefix is not None
    assert policy.prefix.block_size_tokens == 64


def test_all_problems_are_told_at_once_in_order_of_lines() -> None:
    found = problems(
        """
        featureGates: [x]
        plugins:
        - type: queue-scorr
        - type: load-aware-scorer
          parameters: {threshold: -1}
        schedulingProfiles:
        - name: default
          plugins:
          - pluginRef: queue-scorr
          - pluginRef: nobody
        """
    )
    assert [problem.split(" ")[1].rstrip(":") for problem in found] == [
        "featureGates[0]",
        "plugins[0].type",
        "plugins[1].parameters.threshold",
        "schedulingProfiles[0].plugins[1].pluginRef",
    ]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("kind: EndpointPickerConfig\n", "epp.yaml:1 apiVersion: is required; add apiVersion"),
        ("apiVersion: llm-d.ai/v1\nkind: EndpointPickerConfig\n", "epp.yaml:1 apiVersion: must be one of"),
        ("- a\n", "epp.yaml:1: is not an EndpointPickerConfig; start it with 'apiVersion:' and 'kind:'"),
    ],
)
def test_other_documents_are_refused(head: str, expected: str) -> None:
    assert problems("", head)[0].startswith(expected)


def test_a_data_layer_as_the_reference_has_it_is_accepted_and_what_does_nothing_is_told() -> None:
    policy = load(
        """
        plugins:
        - {type: metrics-data-source, parameters: {scheme: http, path: /metrics, insecureSkipVerify: true}}
        - {type: models-data-source, parameters: {scheme: http, path: /v1/models, insecureSkipVerify: true}}
        - {type: k8s-notification-source, parameters: {group: "", version: v1, kind: Pod}}
        - {type: models-data-extractor}
        - {type: topology-extractor}
        dataLayer:
          sources:
          - {pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}
          - {pluginRef: models-data-source, extractors: [{pluginRef: models-data-extractor}]}
          - {pluginRef: k8s-notification-source, extractors: [{pluginRef: topology-extractor}]}
        """
    )
    assert [note.partition(": ")[2] for note in policy.notes] == [
        "metrics-data-source: metrics are polled as the picker's flags say",
        "models-data-source: servers are asked for their models wherever that matters",
        "k8s-notification-source: has no effect: what is needed of Kubernetes is watched anyway",
    ]


def test_an_extractor_is_no_data_source() -> None:
    (found,) = problems(
        "plugins: [{type: topology-extractor}]\ndataLayer: {sources: [{pluginRef: topology-extractor}]}"
    )
    assert "'topology-extractor' is not a data source" in found


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("queue-scorer"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "type", "plugins", "pluginRef", "parameters", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(section=st.sampled_from(["plugins", "schedulingProfiles", "flowControl", "dataLayer"]), content=json_like)
def test_any_document_loads_or_has_problems(section: str, content: Any) -> None:
    text = json.dumps({"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig", section: content})
    with contextlib.suppress(InvalidPolicy):
        assert load_policy(text, name="epp.yaml").profiles
