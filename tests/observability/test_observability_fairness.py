"""Metrics of how fairly clients are served."""

from __future__ import annotations

import json
import random

from prometheus_client import CollectorRegistry
from tests.conftest import BuildPool

from signalbox.admission.flow import Flow
from signalbox.director import Arrival, Director, Routed, Waiting, guide_rules, policy_rules
from signalbox.observability import FairnessCollector
from signalbox.observability.fairness import MOST_PROGRAMS
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

CONFIGURATION = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins: [{type: queue-scorer}, {type: concurrency-detector, parameters: {maxConcurrency: 1}}]
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  defaultPriorityBand: {fairnessPolicyRef: program-aware-fairness}
"""


class Shown:
    """A director, and the page of its metrics at second 5."""

    def __init__(self, pool: Pool, configuration: str = CONFIGURATION) -> None:
        self.director = Director(
            pool, policy_rules(load_policy(configuration, name="flow.yaml"), pool), rng=random.Random(1)
        )
        self.registry = CollectorRegistry()
        self.registry.register(FairnessCollector(self.director, lambda: 5.0))

    def ask(self, fairness_id: str, now: float) -> object:
        body = json.dumps({"model": "m", "prompt": "p"}).encode()
        return self.director.arrive(Arrival("/v1/completions", body, fairness_id=fairness_id), now)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"llm_d_epp_program_aware_{name}", labels)


def test_waits_and_service_are_shown_by_client(build_pool: BuildPool) -> None:
    shown = Shown(build_pool((0, 0, set())))
    first = shown.ask("a", 1.0)
    assert isinstance(first, Routed)
    assert first.ticket is not None
    assert isinstance(shown.ask("", 2.0), Waiting)
    assert shown.value("jains_fairness_index") == 1.0
    assert shown.value("avg_wait_time_milliseconds", program_id="default-flow") is None
    shown.director.finish(first.ticket, 4.0, outcome="complete", status=200, response_bytes=400)
    ((_, outcome),) = shown.director.dispatch(4.5)
    assert isinstance(outcome, Routed)
    assert shown.value("avg_wait_time_milliseconds", program_id="default-flow") == 2500.0
    assert shown.value("avg_wait_time_milliseconds", program_id="a") is None, "it went straight on"
    served = shown.value("attained_service_tokens", program_id="a")
    assert served is not None
    assert served > 100
    assert shown.value("attained_service_tokens", program_id="default-flow") == 0.0


def test_clients_that_make_up_ids_get_a_bounded_number_of_labels(build_pool: BuildPool) -> None:
    shown = Shown(build_pool((0, 0, set())))
    queues = shown.director.rules.flow
    assert queues is not None
    for number in range(3 * MOST_PROGRAMS):
        queues.finished(Flow(f"id-{number}", 0), 10, 5, 1.0)
    queues.finished(Flow("\ud800", 0), 10, 5, 1.0)
    (tokens,) = [family for family in shown.registry.collect() if family.name.endswith("service_tokens")]
    assert len(tokens.samples) == MOST_PROGRAMS - 1
    assert shown.value("attained_service_tokens", program_id=f"id-{3 * MOST_PROGRAMS - 1}") is not None


def test_there_is_nothing_to_show_where_nobody_counts(build_pool: BuildPool) -> None:
    other = CONFIGURATION.replace("program-aware-fairness", "round-robin-fairness-policy")
    shown = Shown(build_pool((0, 0, set())), other)
    assert list(shown.registry.collect()) == []
    shown.director.rules = guide_rules()
    assert list(shown.registry.collect()) == []
