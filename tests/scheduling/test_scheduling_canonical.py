"""The reference's well-lit-path configurations load and route."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.scheduling import load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def written(plugins: list[str], profiles: dict[str, list[tuple[str, float | None]]], more: str = "") -> str:
    lines = [HEAD, "plugins:\n", *(f"- {{{plugin}}}\n" for plugin in plugins), "schedulingProfiles:\n"]
    for name, members in profiles.items():
        lines.append(f"- name: {name}\n  plugins:\n")
        for plugin, weight in members:
            lines.append(f"  - {{pluginRef: {plugin}{'' if weight is None else f', weight: {weight}'}}}\n")
    return "".join(lines) + more


QUEUE, KV, PREFIX, COLD = "queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer", "no-hit-lru-scorer"
PRECISE = "precise-prefix-cache-producer"
BASELINE: list[tuple[str, float | None]] = [(QUEUE, 2), (KV, 2), (PREFIX, 3), (COLD, 2), ("max-score-picker", None)]
TYPES = [f"type: {name}" for name in (QUEUE, KV, PREFIX, COLD, "max-score-picker", "active-request-scorer")]
PD = [*TYPES, "type: decode-filter", "type: prefill-filter", "type: always-disagg-pd-decider",
      "type: disagg-headers-handler",
      "type: disagg-profile-handler, parameters: {deciders: {prefill: always-disagg-pd-decider}}"]  # fmt: skip
PREFILL: list[tuple[str, float | None]] = [("prefill-filter", None), (PREFIX, 3), (QUEUE, 2), (KV, 2)]

PREDICTED = f"""\
{HEAD}plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: metrics-data-source
  parameters:
    insecureSkipVerify: true
    path: /metrics
    scheme: http
- type: core-metrics-extractor
- type: predicted-latency-producer
  parameters:
    streamingMode: true
- type: prefix-cache-affinity-filter
  name: strict-affinity-filter
  parameters:
    affinityThreshold: 0.99
- type: prefix-cache-affinity-filter
  name: loose-affinity-filter
  parameters:
    affinityThreshold: 0.8
- type: latency-scorer
- type: weighted-random-picker
- type: slo-headroom-tier-filter
- type: latency-slo-admitter
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: predicted-latency-producer
  - pluginRef: strict-affinity-filter
  - pluginRef: slo-headroom-tier-filter
  - pluginRef: loose-affinity-filter
  - pluginRef: latency-scorer
  - pluginRef: weighted-random-picker
"""
"""As the reference's test has it."""

ROUTED = {
    "optimized-baseline": written(TYPES, {"default": BASELINE}),
    "precise-prefix": written(
        [
            "type: token-producer, parameters: {modelName: m, vllm: {url: 'http://localhost:8000'}}",
            "type: endpoint-notification-source",
            f"type: {PRECISE}, parameters: {{tokenProcessorConfig: {{blockSizeTokens: 16}}, speculativeIndexing: true,"
            " kvEventsConfig: {topicFilter: kv@, discoverPods: true, podDiscoveryConfig: {socketPort: 5557}}}",
            f"type: inflight-load-producer, parameters: {{prefixMatchInfoProducerName: {PRECISE}}}",
            "type: active-request-scorer",
            f"type: {KV}",
            *[f"type: {name}, parameters: {{prefixMatchInfoProducerName: {PRECISE}}}" for name in (PREFIX, COLD)],
        ],
        {"default": [("active-request-scorer", 4), (KV, 2), (PREFIX, 2), (COLD, 2)]},
        "dataLayer: {sources: [{pluginRef: endpoint-notification-source, extractors: [{pluginRef: "
        f"{PRECISE}}}]}}]}}\n",
    ),
    "tiered-prefix-cache-cpu": written(
        [
            *TYPES,
            "type: approx-prefix-cache-producer, name: gpu",
            "type: approx-prefix-cache-producer, name: cpu, parameters: {autoTune: false, lruCapacityPerServer: 1000}",
            f"type: {PREFIX}, name: gpu-prefix, parameters: {{prefixMatchInfoProducerName: gpu}}",
            f"type: {PREFIX}, name: cpu-prefix, parameters: {{prefixMatchInfoProducerName: cpu}}",
        ],
        {"default": [(QUEUE, 2), (KV, 2), ("gpu-prefix", 1), ("cpu-prefix", 1)]},
    ),
    "pd-disaggregation": written(
        PD, {"prefill": PREFILL, "decode": [("decode-filter", None), ("active-request-scorer", 2), (PREFIX, 3)]}
    ),
    "wide-ep-lws": written(
        PD, {"prefill": PREFILL, "decode": [("decode-filter", None), ("active-request-scorer", 2), (PREFIX, 1)]}
    ),
    "predicted-latency-slo": PREDICTED,
    "payload-agnostic": written(
        ["type: passthrough-parser", "type: active-request-scorer", "type: session-affinity-scorer"],
        {"default": [("active-request-scorer", 1), ("session-affinity-scorer", 1)]},
        "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}\n",
    ),
    "flow-control": written(
        [
            *TYPES,
            "type: concurrency-detector, parameters: {maxConcurrency: 132}",
            "type: round-robin-fairness-policy",
        ],
        {"default": BASELINE},
        "featureGates: [flowControl]\nflowControl:\n  maxBytes: 10Gi\n  maxRequests: 1k\n  defaultRequestTTL: 60s\n"
        "  saturationDetector: {pluginRef: concurrency-detector}\n  priorityBands:\n"
        "  - {priority: 100, maxRequests: 500, fairnessPolicyRef: round-robin-fairness-policy}\n"
        "  - {priority: 0, maxRequests: 200, fairnessPolicyRef: round-robin-fairness-policy}\n"
        "  - {priority: -10, maxRequests: 50, fairnessPolicyRef: round-robin-fairness-policy}\n",
    ),
}

WEIGHTS: dict[str, dict[str, dict[str, float]]] = {
    "optimized-baseline": {"default": {QUEUE: 2, KV: 2, PREFIX: 3, COLD: 2}},
    "precise-prefix": {"default": {"active-request-scorer": 4, KV: 2, PREFIX: 2, COLD: 2}},
    "tiered-prefix-cache-cpu": {"default": {QUEUE: 2, KV: 2, "gpu-prefix": 1, "cpu-prefix": 1}},
    "pd-disaggregation": {
        "prefill": {PREFIX: 3, QUEUE: 2, KV: 2},
        "decode": {"active-request-scorer": 2, PREFIX: 3},
    },
    "wide-ep-lws": {"prefill": {PREFIX: 3, QUEUE: 2, KV: 2}, "decode": {"active-request-scorer": 2, PREFIX: 1}},
    "predicted-latency-slo": {"default": {"latency-scorer": 1}},
    "payload-agnostic": {"default": {"active-request-scorer": 1, "session-affinity-scorer": 1}},
    "flow-control": {"default": {QUEUE: 2, KV: 2, PREFIX: 3, COLD: 2}},
}


@pytest.mark.parametrize("name", ROUTED)
def test_it_loads_and_routes(world: Any, name: str) -> None:
    policy = load_policy(ROUTED[name], name=f"{name}.yaml")
    roles = [{"llm-d.ai/role": "decode"}, {"llm-d.ai/role": "prefill"}] if "prefill" in policy.profiles else None
    state = world(2, labels=roles, waiting=[3, 0], inflight=[3, 0], inflight_mark=[3, 0])
    decision = policy.schedule(state.cycle(prefix=state.prefix([], total=4), prompt_tokens=64), state.rows)
    assert decision is not None
    assert decision.rows[0] == (0 if roles else 1)
    assert ("x-prefiller-host-port" in decision.headers) is bool(roles)
    assert not policy.faults


def test_a_second_prefix_index_is_not_passed_off_as_one() -> None:
    notes = load_policy(ROUTED["tiered-prefix-cache-cpu"], name="tiered.yaml").notes
    assert any("cpu: has no effect: there is one prefix index" in note for note in notes)


@pytest.mark.parametrize("name", ROUTED)
def test_it_has_exactly_the_stated_scorers_and_weights(name: str) -> None:
    policy = load_policy(ROUTED[name], name=f"{name}.yaml")
    found = {
        profile.name: {scorer.name: weight for scorer, weight in profile.scorers}
        for profile in policy.profiles.values()
    }
    assert found == WEIGHTS[name]
    assert policy.handler.type == ("disagg-profile-handler" if len(found) > 1 else "single-profile-handler")
    queues = name == "flow-control"
    assert policy.detector.type == ("concurrency-detector" if queues else "utilization-detector")
    assert (policy.flow is not None) is queues
    assert (policy.prefix is None) is (name == "payload-agnostic"), "prompts are looked up where a scorer asks"


def test_flow_control_has_the_bands_and_limits_it_states() -> None:
    flow = load_policy(ROUTED["flow-control"], name="flow-control.yaml").flow
    assert flow is not None
    assert (flow.max_bytes, flow.max_requests, flow.ttl, flow.no_endpoint_ttl) == (10 * 2**30, 1000, 60.0, 60.0)
    assert {priority: (band.max_requests, band.max_bytes) for priority, band in flow.bands.items()} == {
        100: (500, 10**9),
        0: (200, 10**9),
        -10: (50, 10**9),
    }
    assert {band.fairness.type for band in flow.bands.values()} == {"round-robin-fairness-policy"}
    assert flow.usage_limit.type == "static-usage-limit-policy"


def test_every_canonical_configuration_is_here() -> None:
    assert ROUTED.keys() == WEIGHTS.keys()
    assert len(ROUTED) == 8
