"""What was expected of a choice shows in the metrics and in the explanation of the decision."""

from __future__ import annotations

from typing import Any

import pytest
from tests.observability.deciding import Deciding, arrival

from signalbox.observability import PickerMetrics
from signalbox.payloads import Usage

PREDICTING = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: predicted-latency-producer, parameters: {streamingMode: true}}
- type: latency-scorer
"""


class Loads:
    """A pool without endpoints."""

    name = "pool"

    def loads(self) -> list[Any]:
        return []


@pytest.fixture
def deciding(build_pool: Any) -> Deciding:
    """A picker that has seen twenty answers: the first token after 0.5 s, ten more in 1 s."""
    made = Deciding(build_pool((0, 0.1, set())), PREDICTING)
    for number in range(20):
        ticket = made.route(arrival(f"warm-{number}"), 100.0 * number)
        made.director.first_byte(ticket, 100.0 * number + 0.5, 200)
        made.end(ticket, 100.0 * number + 1.5, usage=Usage(10, 11, None))
    return made


def test_the_explanation_has_it_beside_what_came(deciding: Deciding) -> None:
    ticket = deciding.route(arrival("r-1"), 5000.0)
    deciding.director.first_byte(ticket, 5000.7, 200)
    deciding.end(ticket, 5001.0)
    view = deciding.view("r-1")
    assert view["predicted"]["ttft_seconds"] == pytest.approx(0.5, abs=0.01)
    assert view["predicted"]["tpot_seconds"] == pytest.approx(0.1, abs=0.001)
    assert view["end"]["ttft_seconds"] == 0.7
    assert deciding.view("warm-3")["predicted"] is None


def test_the_metrics_have_it_beside_what_came(deciding: Deciding) -> None:
    metrics = PickerMetrics(Loads())
    labels = {"model_name": "m", "target_model_name": "m"}
    for name in ("r-1", "r-2"):
        metrics.routed(deciding.route(arrival(name), 6000.0), 0.001)
    metrics.routed(Deciding(deciding.pool, PREDICTING).route(arrival("cold"), 1.0), 0.001)
    prefix = "inference_objective_request_predicted"
    assert metrics.registry.get_sample_value(f"{prefix}_ttft_seconds_count", labels) == 2
    assert metrics.registry.get_sample_value(f"{prefix}_tpot_seconds_count", labels) == 2
    total = metrics.registry.get_sample_value(f"{prefix}_tpot_seconds_sum", labels)
    assert total == pytest.approx(0.2, abs=0.01)
