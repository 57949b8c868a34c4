"""The picker's metrics as Prometheus sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from signalbox.director.events import Completion, Observer, Ticket
from signalbox.observability import PickerMetrics, ServerLoad, buckets
from signalbox.observability.histogram import MOST_NOTED, Histogram
from signalbox.observability.metrics import _MOST_ATTEMPTS
from signalbox.payloads import Usage
from signalbox.pool import Endpoint

POD = Endpoint("pod-0", "default", "pod-0", "10.0.0.1", 8000, 0)
PAIR = {"model_name": "food-review", "target_model_name": "food-review-1"}


class FixedPool:
    def __init__(self, *loads: ServerLoad) -> None:
        self._loads = loads

    @property
    def name(self) -> str:
        return "llama-pool"

    def loads(self) -> Sequence[ServerLoad]:
        return self._loads


def ticket(
    model: str = "food-review",
    target: str = "food-review-1",
    *,
    endpoint: Endpoint = POD,
    priority: int = 0,
    stream: bool = True,
    first_byte_at: float | None = 10.5,
) -> Ticket:
    return Ticket("r-1", model, target, priority, endpoint, (), 10.0, 700, stream, 50, first_byte_at=first_byte_at)


def ended(outcome: str = "complete", usage: Usage | None = None) -> Completion:
    return Completion(outcome, 200, 4000, usage)


class Scrape:
    """What one scrape shows."""

    def __init__(self, metrics: PickerMetrics) -> None:
        self.text = generate_latest(metrics.registry).decode()
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, /, **labels: str) -> float | None:
        return self._samples.get((name, frozenset(labels.items())))

    def series(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        return {labels: value for (sample, labels), value in self._samples.items() if sample == name}

    def bounds(self, name: str) -> str:
        """The ``le`` labels of a histogram with one label set, in the order of the text."""
        prefix = f"{name}_bucket"
        return " ".join(
            line.split('le="')[1].split('"')[0] for line in self.text.splitlines() if line.startswith(prefix)
        )


def one_request() -> Scrape:
    metrics = PickerMetrics(FixedPool())
    request = ticket()
    metrics.routed(request, 0.0003)
    metrics.finished(request, ended(usage=Usage(50, 11, 48)), 12.5)
    return Scrape(metrics)


def test_it_observes_the_director() -> None:
    observer: Observer = PickerMetrics(FixedPool())
    observer.refused("m", "t", "BadRequest", 1.0)
    assert isinstance(observer, PickerMetrics)
    assert Scrape(observer).series("inference_model_request_error_total") != {}


G = (
    "0.005 0.025 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60 120 180 240 300 360 480 600 900 "
    "1200 1800 2700 3600 +Inf"
)
S = (
    "64 128 256 512 1024 2048 4096 8192 16384 32768 65536 131072 262144 524288 1.048576e+06 2.097152e+06 "
    "4.194304e+06 8.388608e+06 1.6777216e+07 3.3554432e+07 6.7108864e+07 1.34217728e+08 2.68435456e+08 "
    "5.36870912e+08 1.073741824e+09 +Inf"
)
OUT = "1 8 16 32 64 128 256 512 1024 2048 4096 8192"
R = f"{OUT} 16384 32778 65536"
T = f"{R} 131072 262144 524288 1.048576e+06"
TPOT = (
    "0.0005 0.00205 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.125 0.15 0.2 0.3 0.4 0.5 0.6 0.8 1 1.5 2 3 4.5 6 12 18 24 30 "
    "36 48 60 90 120 180 270 360 +Inf"
)
NORMALIZED = "0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10 +Inf"


@pytest.mark.parametrize(
    ("name", "bounds", "total"),
    [
        ("inference_model_request_duration_seconds", G, 2.5),
        ("inference_objective_request_duration_seconds", G, 2.5),
        ("inference_objective_request_ttft_seconds", G, 0.5),
        ("inference_objective_request_tpot_seconds", TPOT, 0.2),
        ("inference_objective_normalized_time_per_output_token_seconds", NORMALIZED, 2.5 / 11),
        ("inference_model_request_sizes", S, 700),
        ("inference_objective_request_sizes", S, 700),
        ("inference_model_response_sizes", f"{R} +Inf", 4000),
        ("inference_objective_response_sizes", f"{R} +Inf", 4000),
        ("inference_model_input_tokens", f"{T} +Inf", 50),
        ("inference_objective_input_tokens", f"{T} +Inf", 50),
        ("inference_model_output_tokens", f"{OUT} +Inf", 11),
        ("inference_objective_output_tokens", f"{OUT} +Inf", 11),
        ("inference_objective_prompt_cached_tokens", f"{T} +Inf", 48),
    ],
)
def test_each_histogram_has_the_names_labels_and_buckets_of_the_extension(name: str, bounds: str, total: float) -> None:
    scrape = one_request()
    assert scrape.families[name].type == "histogram"
    assert scrape.bounds(name) == bounds
    assert scrape.value(f"{name}_count", **PAIR) == 1
    assert scrape.value(f"{name}_sum", **PAIR) == pytest.approx(total)
    assert scrape.value(f"{name}_bucket", **PAIR, le="+Inf") == 1


def test_the_scheduler_has_a_histogram_without_labels() -> None:
    scrape = one_request()
    name = "inference_extension_scheduler_e2e_duration_seconds"
    assert scrape.bounds(name) == "0.0001 0.0002 0.0005 0.001 0.002 0.005 0.01 0.02 0.05 0.1 +Inf"
    assert scrape.value(f"{name}_bucket", le="0.0002") == 0
    assert scrape.value(f"{name}_bucket", le="0.0005") == 1


def test_counters_of_a_routed_request() -> None:
    metrics = PickerMetrics(FixedPool())
    metrics.routed(ticket(priority=0), 0.001)
    metrics.routed(ticket(priority=-1), 0.001)
    metrics.routed(ticket(priority=-1), 0.001)
    scrape = Scrape(metrics)
    assert scrape.value("inference_model_request_total", **PAIR) == 3
    assert scrape.value("inference_objective_request_total", **PAIR, priority="0") == 1
    assert scrape.value("inference_objective_request_total", **PAIR, priority="-1") == 2
    assert scrape.value(
        "inference_extension_scheduler_attempts_total",
        status="success",
        target_model_name="food-review-1",
        pod_name="pod-0",
        namespace="default",
        port="8000",
    ) == 3  # fmt: skip
    assert scrape.families["inference_model_request"].type == "counter"


def test_a_refused_request_is_an_error_and_no_request() -> None:
    metrics = PickerMetrics(FixedPool())
    metrics.refused("food-review", "food-review-1", "InferencePoolResourceExhausted", 1.0)
    metrics.refused("", "", "BadRequest", 1.0)
    scrape = Scrape(metrics)
    for name in ("inference_model_request_error_total", "inference_objective_request_error_total"):
        assert scrape.value(name, **PAIR, error_code="InferencePoolResourceExhausted") == 1
        assert scrape.value(name, model_name="", target_model_name="", error_code="BadRequest") == 1
    assert scrape.series("inference_model_request_total") == {}
    assert scrape.series("inference_model_request_sizes_count") == {}
    attempts = scrape.series("inference_extension_scheduler_attempts_total")
    assert [(dict(labels)["status"], value) for labels, value in attempts.items()] == [("failure", 1)]


def test_a_server_error_is_an_error_of_the_model_server() -> None:
    metrics = PickerMetrics(FixedPool())
    request = ticket()
    metrics.routed(request, 0.001)
    metrics.finished(request, ended("server_error"), 12.0)
    scrape = Scrape(metrics)
    assert scrape.value("inference_model_request_error_total", **PAIR, error_code="ModelServerError") == 1
    assert scrape.series("inference_model_request_duration_seconds_count") == {}
    assert scrape.series("inference_model_response_sizes_count") == {}


def test_a_cancelled_request_is_no_error_and_keeps_the_tokens_it_reported() -> None:
    metrics = PickerMetrics(FixedPool())
    request = ticket()
    metrics.routed(request, 0.001)
    metrics.finished(request, ended("cancelled", Usage(50, 3)), 12.0)
    scrape = Scrape(metrics)
    assert scrape.series("inference_model_request_error_total") == {}
    assert scrape.series("inference_model_request_duration_seconds_count") == {}
    assert scrape.value("inference_model_output_tokens_sum", **PAIR) == 3


@pytest.mark.parametrize("end", [10.0, 9.0])
def test_a_duration_that_is_not_positive_is_not_recorded(end: float) -> None:
    metrics = PickerMetrics(FixedPool())
    request = ticket()
    metrics.routed(request, 0.001)
    metrics.finished(request, ended(usage=Usage(1, 2)), end)
    scrape = Scrape(metrics)
    for name in ("request_duration_seconds", "request_ttft_seconds", "normalized_time_per_output_token_seconds"):
        assert scrape.series(f"inference_objective_{name}_count") == {}
    assert scrape.value("inference_model_response_sizes_count", **PAIR) == 1


@pytest.mark.parametrize(
    ("request_", "tokens", "ttft", "tpot"),
    [
        (ticket(), 11, 1, 1),
        (ticket(stream=False), 11, None, None),
        (ticket(first_byte_at=None), 11, None, None),
        (ticket(), 1, 1, None),
        (ticket(first_byte_at=99.0), 11, None, None),
    ],
)
def test_token_times_need_a_stream_and_two_tokens(
    request_: Ticket, tokens: int, ttft: int | None, tpot: int | None
) -> None:
    metrics = PickerMetrics(FixedPool())
    metrics.routed(request_, 0.001)
    metrics.finished(request_, ended(usage=Usage(5, tokens)), 12.5)
    scrape = Scrape(metrics)
    assert scrape.value("inference_objective_request_ttft_seconds_count", **PAIR) == ttft
    assert scrape.value("inference_objective_request_tpot_seconds_count", **PAIR) == tpot


@given(st.lists(st.sampled_from(["complete", "cancelled", "server_error"]), max_size=20))
def test_running_requests_return_to_zero(outcomes: list[str]) -> None:
    metrics = PickerMetrics(FixedPool(), max_models=3)
    requests = [ticket(model=f"model-{index % 6}") for index, _ in enumerate(outcomes)]
    for request in requests:
        metrics.routed(request, 0.001)
    in_flight = Scrape(metrics).series("inference_model_running_requests")
    assert sum(in_flight.values()) == len(requests)
    for request, outcome in zip(reversed(requests), outcomes, strict=True):
        metrics.finished(request, ended(outcome), 12.0)
    scrape = Scrape(metrics)
    for name in ("inference_model_running_requests", "inference_objective_running_requests"):
        assert set(scrape.series(name).values()) <= {0.0}
        assert scrape.series(name).keys() == in_flight.keys()


def test_the_pool_is_read_at_the_scrape() -> None:
    pool = FixedPool(
        ServerLoad("a", "a", True, 4, 10, 0.5),
        ServerLoad("b", "b", True, 1, 0, 0.1),
        ServerLoad("c", "c", False, 0, 0, 0),
    )
    scrape = Scrape(PickerMetrics(pool))
    name = {"name": "llama-pool"}
    assert scrape.value("inference_pool_average_queue_size", **name) == 2.5
    assert scrape.value("inference_pool_average_running_requests", **name) == 5
    assert scrape.value("inference_pool_average_kv_cache_utilization", **name) == pytest.approx(0.3)
    assert scrape.value("inference_pool_ready_pods", **name) == 3
    assert scrape.value("inference_pool_per_pod_queue_size", **name, model_server_pod="a") == 4
    assert scrape.value("inference_pool_per_pod_queue_size", **name, model_server_pod="c") is None


def test_an_empty_pool_has_zero_averages() -> None:
    scrape = Scrape(PickerMetrics(FixedPool()))
    assert scrape.value("inference_pool_average_queue_size", name="llama-pool") == 0
    assert scrape.value("inference_pool_ready_pods", name="llama-pool") == 0


def test_the_build_is_told() -> None:
    scrape = Scrape(PickerMetrics(FixedPool(), commit="abc", build_ref="v1"))
    assert scrape.value("inference_extension_info", commit="abc", build_ref="v1") == 1


def models_of(scrape: Scrape, name: str) -> dict[str, float]:
    return {dict(labels)["model_name"]: value for labels, value in scrape.series(name).items()}


def test_beyond_the_limit_models_are_counted_as_other() -> None:
    metrics = PickerMetrics(FixedPool(), max_models=2)
    for model in ("a", "b", "c", "d", "a"):
        request = ticket(model, model)
        metrics.routed(request, 0.001)
        metrics.finished(request, ended(), 12.0)
    assert models_of(Scrape(metrics), "inference_model_request_total") == {"a": 2, "b": 1, "other": 2}


@pytest.mark.parametrize("name", ["x" * 257, "half\ud800"])
def test_names_that_make_no_label_are_other(name: str) -> None:
    metrics = PickerMetrics(FixedPool())
    metrics.routed(ticket(name, "t"), 0.001)
    metrics.refused(name, name, "BadRequest", 1.0)
    scrape = Scrape(metrics)
    assert models_of(scrape, "inference_model_request_total") == {"other": 1}
    assert models_of(scrape, "inference_model_request_error_total") == {"other": 1}


def test_refused_names_do_not_use_up_the_names_of_routed_ones() -> None:
    metrics = PickerMetrics(FixedPool(), max_models=20)
    for index in range(50):
        metrics.refused(f"made-up-{index}", "", "BadRequest", 1.0)
    metrics.routed(ticket("real", "real"), 0.001)
    metrics.refused("real", "real", "BadRequest", 1.0)
    scrape = Scrape(metrics)
    assert models_of(scrape, "inference_model_request_total") == {"real": 1}
    assert models_of(scrape, "inference_model_request_error_total") == {
        "made-up-0": 1,
        "made-up-1": 1,
        "other": 48,
        "real": 1,
    }


def test_attempts_of_departed_pods_are_dropped_when_there_are_too_many() -> None:
    metrics = PickerMetrics(FixedPool(ServerLoad("stays", "stays", True, 0, 0, 0)))
    metrics.routed(ticket(endpoint=Endpoint("stays", "default", "stays", "10.0.0.2", 8000, 1)), 0.001)
    for index in range(_MOST_ATTEMPTS):
        metrics.routed(ticket(endpoint=Endpoint("p", "default", f"pod-{index}", "10.0.0.1", 8000, 0)), 0.001)
    attempts = Scrape(metrics).series("inference_extension_scheduler_attempts_total")
    assert [dict(labels)["pod_name"] for labels in attempts] == ["stays"]


@pytest.mark.parametrize(
    ("bound", "label"),
    [(1.0, "1"), (0.005, "0.005"), (0.0001, "0.0001"), (0.00001, "1e-05"), (999999.0, "999999"), (1e6, "1e+06")],
)
def test_bounds_are_written_as_go_writes_them(bound: float, label: str) -> None:
    assert buckets.bound_label(bound) == label
    assert float(label) == bound


BOUNDS = (0.5, 1.0, 2.0)


@given(st.lists(st.floats(0, 5)))
def test_a_histogram_counts_each_value_at_most_its_bound(values: list[float]) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    counted = dict(histogram.cumulative())
    assert [counted[str(label)] for label in ("0.5", "1", "2")] == [sum(v <= bound for v in values) for bound in BOUNDS]
    assert counted["+Inf"] == histogram.count == len(values)
    assert histogram.total == pytest.approx(math.fsum(values))
    assert all(a <= b for a, b in pairwise(counted.values()))


def test_a_histogram_counts_the_same_however_values_come() -> None:
    values = [0.4, 3.0, 0.5, 0.7, 2.0, 0.5, 9.0, 1.0] * (MOST_NOTED // 2)
    noted, observed = Histogram(BOUNDS), Histogram(BOUNDS)
    for value in values:
        noted.note(value)
        observed.observe(value)
        assert len(observed._noted) < MOST_NOTED  # what a histogram keeps is bounded
    for histogram in (noted, observed):
        assert histogram.total == sum(values)
        assert [count for _, count in histogram.cumulative()] == [count * MOST_NOTED // 2 for count in (3, 5, 6, 8)]
    noted.settle()
    assert noted.count == len(values)


def test_what_a_series_notes_is_bounded() -> None:
    metrics = PickerMetrics(FixedPool())
    for _ in range(3 * MOST_NOTED):
        request = ticket()
        metrics.routed(request, 0.0003)
        metrics.finished(request, ended(usage=Usage(50, 11)), 12.5)
        (series,) = metrics._state.series.values()
        assert len(series.request_bytes._noted) <= MOST_NOTED
        assert len(series.output_tokens._noted) <= MOST_NOTED
    assert series.output_tokens.count == series.request_bytes.count == 3 * MOST_NOTED


def test_attempts_are_counted_by_the_endpoint_that_has_the_row_now() -> None:
    metrics = PickerMetrics(FixedPool())
    for pod in ("old", "old", "new", "old"):
        metrics.routed(ticket(endpoint=Endpoint(pod, "default", pod, "10.0.0.1", 8000, 0)), 0.001)
    attempts = Scrape(metrics).series("inference_extension_scheduler_attempts_total")
    assert {dict(labels)["pod_name"]: count for labels, count in attempts.items()} == {"old": 3, "new": 1}


def test_latency_objectives_of_clients_are_held_against_the_answer() -> None:
    metrics = PickerMetrics(FixedPool())
    for objective in (0.4, 0.6, None):
        request = ticket()
        request.slo_ttft = objective
        request.slo_tpot = 0.1
        metrics.routed(request, 0.0003)
        metrics.finished(request, ended(usage=Usage(50, 11)), 12.5)
    scrape = Scrape(metrics)
    name = "inference_objective_inference_request_metric"
    assert scrape.value(name, **PAIR, type="ttft") == pytest.approx(0.5)
    assert scrape.value(name, **PAIR, type="tpot") == pytest.approx(0.2)
    assert scrape.value(name, **PAIR, type="ttft_slo_violation") == 0
    assert scrape.value(name, **PAIR, type="tpot_slo_violation") == 1
    violations = "inference_objective_request_slo_violation_total"
    assert scrape.value(violations, **PAIR, type="ttft") == 1
    assert scrape.value(violations, **PAIR, type="tpot") == 3


def test_decisions_of_rewrites_are_counted_by_rewrite() -> None:
    metrics = PickerMetrics(FixedPool())
    request = ticket()
    request.rewrite = "canary"
    metrics.routed(request, 0.0003)
    metrics.routed(ticket(), 0.0003)
    labels = {"model_rewrite_name": "canary", "model_name": "food-review", "target_model": "food-review-1"}
    assert Scrape(metrics).value("inference_extension_model_rewrite_decisions_total", **labels) == 1
