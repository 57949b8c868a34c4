"""The reference's well-lit-path configurations load and route, or are refused with the reason and load without what is
not supported."""

from __future__ import annotations

from typing import Any

import pytest

from signalbox.scheduling import InvalidPolicy, load_policy

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def written(plugins: list[str], profiles: dict[str, list[tuple[str, float | None]]], more: str = "") -> str:
    lines = [HEAD, "plugins:\n", *(f"- {{{plugin}}}\n" for plugin in plugins), "schedulingProfiles:\n"]
    for name, members in profiles.items():
        lines.append(f"- name: {name}\n  plugins:\n")
        for plugin, weight in members:
            lines.append(f"  - {{pluginRef: {plugin}{'' if weight is None else f', weight: {weight}'}}}\n")
    return "".join(lines) + more


QUEUE, KV, PREFIX, COLD = "queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer", "no-hit-lru-scorer"
BASELINE: list[tuple[str, float | None]] = [(QUEUE, 2), (KV, 2), (PREFIX, 3), (COLD, 2), ("max-score-picker", None)]
TYPES = [f"type: {name}" for name in (QUEUE, KV, PREFIX, COLD, "max-score-picker", "active-request-scorer")]
PD = [*TYPES, "type: decode-filter", "type: prefill-filter", "type: always-disagg-pd-decider",
      "type: disagg-profile-handler, parameters: {deciders: {prefill: always-disagg-pd-decider}}"]  # fmt: skip
PREFILL: list[tuple[str, float | None]] = [("prefill-filter", None), (PREFIX, 3), (QUEUE, 2), (KV, 2)]

ROUTED = {
    "optimized-baseline": written(TYPES, {"default": BASELINE}),
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
    "payload-agnostic": written(
        ["type: passthrough-parser", "type: active-request-scorer", "type: session-affinity-scorer"],
        {"default": [("active-request-scorer", 1), ("session-affinity-scorer", 1)]},
        "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}\n",
    ),
}

WEIGHTS: dict[str, dict[str, dict[str, float]]] = {
    "optimized-baseline": {"default": {QUEUE: 2, KV: 2, PREFIX: 3, COLD: 2}},
    "tiered-prefix-cache-cpu": {"default": {QUEUE: 2, KV: 2, "gpu-prefix": 1, "cpu-prefix": 1}},
    "pd-disaggregation": {
        "prefill": {PREFIX: 3, QUEUE: 2, KV: 2},
        "decode": {"active-request-scorer": 2, PREFIX: 3},
    },
    "wide-ep-lws": {"prefill": {PREFIX: 3, QUEUE: 2, KV: 2}, "decode": {"active-request-scorer": 2, PREFIX: 1}},
    "payload-agnostic": {"default": {"active-request-scorer": 1, "session-affinity-scorer": 1}},
}

BANDS = """  defaultPriorityBand: {fairnessPolicyRef: global-strict-fairness-policy}
  priorityBands:
  - {priority: 100, maxRequests: 500}
  - {priority: 0, maxRequests: 200}
  - {priority: -10, maxRequests: 50}
"""
NEAREST = {
    "precise-prefix": written(TYPES, {"default": [("active-request-scorer", 4), (KV, 2), (PREFIX, 2), (COLD, 2)]}),
    "flow-control": written(
        [*TYPES, "type: concurrency-detector, parameters: {maxConcurrency: 132}"],
        {"default": BASELINE},
        "flowControl:\n  maxBytes: 10Gi\n  maxRequests: 1k\n  defaultRequestTTL: 60s\n"
        f"  saturationDetector: {{pluginRef: concurrency-detector}}\n{BANDS}",
    ),
    "predicted-latency-slo": written(
        [
            "type: prefix-cache-affinity-filter, name: strict, parameters: {affinityThreshold: 0.99}",
            "type: prefix-cache-affinity-filter, name: loose, parameters: {affinityThreshold: 0.8}",
            "type: least-cost-scorer",
            "type: weighted-random-picker",
        ],
        {"default": [("strict", None), ("loose", None), ("least-cost-scorer", 1), ("weighted-random-picker", None)]},
    ),
}
"""Those that are refused, without what is not supported."""

REFUSED = {
    "precise-prefix": (
        written([*TYPES, "type: precise-prefix-cache-scorer"], {"default": [("precise-prefix-cache-scorer", 2)]}),
        "'precise-prefix-cache-scorer' is not supported: it needs the KV-cache events of the servers and a tokenizer"
        " service",
    ),
    "flow-control": (
        written(
            [
                *TYPES,
                "type: concurrency-detector, parameters: {maxConcurrency: 132}",
                "type: round-robin-fairness-policy",
            ],
            {"default": BASELINE},
            "featureGates: [flowControl]\nflowControl:\n  maxBytes: 10Gi\n  maxRequests: 1k\n  defaultRequestTTL: 60s\n"
            "  saturationDetector: {pluginRef: concurrency-detector}\n  defaultPriorityBand: {fairnessPolicyRef:"
            " round-robin-fairness-policy}\n  priorityBands:\n  - {priority: 100, maxRequests: 500}\n"
            "  - {priority: 0, maxRequests: 200}\n  - {priority: -10, maxRequests: 50}\n",
        ),
        "flowControl is not supported: requests do not queue in the picker",
    ),
    "predicted-latency-slo": (
        written(
            [
                "type: prefix-cache-affinity-filter, name: strict, parameters: {affinityThreshold: 0.99}",
                "type: slo-headroom-tier-filter",
                "type: prefix-cache-affinity-filter, name: loose, parameters: {affinityThreshold: 0.8}",
                "type: latency-scorer",
                "type: weighted-random-picker",
                "type: latency-slo-admitter",
            ],
            {"default": [("strict", None), ("slo-headroom-tier-filter", None), ("loose", None), ("latency-scorer", 1)]},
        ),
        "it needs the latency predictor, a service of its own",
    ),
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


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(name: str) -> None:
    text, reason = REFUSED[name]
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(text, name=f"{name}.yaml")
    assert reason in str(caught.value)


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
    assert policy.detector.type == "utilization-detector"
    assert (policy.prefix is None) is (name == "payload-agnostic"), "prompts are looked up where a scorer asks"


@pytest.mark.parametrize("name", NEAREST)
def test_without_what_is_not_supported_it_loads_and_routes(world: Any, name: str) -> None:
    policy = load_policy(NEAREST[name], name=f"{name}.yaml")
    state = world(2, waiting=[3, 0], inflight=[3, 0], inflight_mark=[3, 0])
    decision = policy.schedule(state.cycle(prefix=state.prefix([], total=4), prompt_tokens=64), state.rows)
    assert decision is not None
    assert decision.rows
    assert not policy.faults
    if name == "flow-control":
        assert policy.detector.type == "concurrency-detector"
        assert any("flowControl" in note and "requests do not queue" in note for note in policy.notes)


def test_every_canonical_configuration_is_here() -> None:
    assert ROUTED.keys() == WEIGHTS.keys()
    assert REFUSED.keys() == NEAREST.keys()
    assert len(ROUTED) + len(REFUSED) == 8
