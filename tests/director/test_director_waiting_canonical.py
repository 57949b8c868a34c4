"""The flow-control configuration that llm-d's own tests assert, word for word: it loads, routes and makes wait."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.conftest import BuildPool, Objects

from signalbox.director import Arrival, Director, Refused, Routed, Waiting, policy_rules
from signalbox.scheduling import load_policy

ROOT = Path(__file__).resolve().parents[2]
CANONICAL = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates:
- flowControl
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: no-hit-lru-scorer
- type: round-robin-fairness-policy
- type: fcfs-ordering-policy
- type: concurrency-detector
  parameters:
    maxConcurrency: 132
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: prefix-cache-scorer
    weight: 3
  - pluginRef: no-hit-lru-scorer
    weight: 2
flowControl:
  maxBytes: 10Gi
  maxRequests: 1k
  defaultRequestTTL: 60s
  saturationDetector:
    pluginRef: concurrency-detector
  priorityBands:
  - priority: 100
    maxRequests: 500
    fairnessPolicyRef: round-robin-fairness-policy
    orderingPolicyRef: fcfs-ordering-policy
  - priority: 0
    maxRequests: 200
    fairnessPolicyRef: round-robin-fairness-policy
    orderingPolicyRef: fcfs-ordering-policy
  - priority: -10
    maxRequests: 50
    fairnessPolicyRef: round-robin-fairness-policy
    orderingPolicyRef: fcfs-ordering-policy
"""


@pytest.mark.parametrize(("objective", "places"), [("high", 500), (None, 200), ("low", 50)])
def test_a_pool_takes_what_it_may_and_each_band_holds_what_it_may(
    build_pool: BuildPool, objects: Objects, objective: str | None, places: int
) -> None:
    resources = (objects.objective("high", 100), objects.objective("low", -10))
    pool = build_pool((0, 0, set()), (0, 0, set()), resources=resources)
    director = Director(pool, policy_rules(load_policy(CANONICAL, name="epp.yaml"), pool), rng=random.Random(1))
    kinds = []
    for number in range(2 * 132 + places + 1):
        body = json.dumps({"model": "m", "prompt": f"{number} " * 100}).encode()
        arrival = Arrival("/v1/completions", body, objective=objective, fairness_id=f"client-{number % 7}")
        kinds.append(type(director.arrive(arrival, 1.0)))
    assert kinds == [Routed] * (2 * 132) + [Waiting] * places + [Refused]
    assert pool.columns.inflight[:8].sum() == 2 * 132


def test_the_example_is_what_the_page_shows_and_makes_wait(build_pool: BuildPool) -> None:
    file = (ROOT / "examples" / "scheduling" / "flow-control.yaml").read_text()
    page = (ROOT / "docs" / "flow-control.md").read_text()
    head, _, configuration = file.partition("\n")
    assert "docs/flow-control.md" in head
    assert f"```yaml\n{configuration}```" in page
    policy = load_policy(file, name="flow-control.yaml")
    assert policy.notes == ()
    pool = build_pool((0, 0, set()))
    director = Director(pool, policy_rules(policy, pool), rng=random.Random(1))
    arrival = Arrival("/v1/completions", b'{"model": "m", "prompt": "x"}')
    kinds = [type(director.arrive(arrival, 1.0)) for _ in range(132 + 500 + 1)]
    assert kinds == [Routed] * 132 + [Waiting] * 500 + [Refused]
