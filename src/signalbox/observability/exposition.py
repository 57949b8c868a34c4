"""The picker's counts as Prometheus samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from signalbox.observability.histogram import Histogram
from signalbox.observability.pool_view import PoolView
from signalbox.observability.series import Attempt, Sent, Series


@dataclass(slots=True)
class State:
    """Everything counted since the start."""

    series: dict[tuple[str, str], Series]
    running: Counter[str]
    """Requests in flight by model."""
    errors: Counter[tuple[str, str, str]]
    """By model, target and error code."""
    attempts: dict[Attempt, Sent]
    scheduler_seconds: Histogram
    rewrites: Counter[tuple[str, str, str]]
    """By InferenceModelRewrite, model and target."""


_PAIR = ("model_name", "target_model_name")


class _Column(NamedTuple):
    suffix: str
    help: str
    of: Callable[[Series], Histogram]
    generations: tuple[str, ...]


_BOTH = ("inference_model", "inference_objective")
_LATER = ("inference_objective",)

_COLUMNS = (
    _Column("request_duration_seconds", "Time from a request's arrival to the end of its complete answer.",
            lambda series: series.durations, _BOTH),
    _Column("request_ttft_seconds", "Time from a request's arrival to the first byte of its streamed answer.",
            lambda series: series.ttft, _LATER),
    _Column("request_tpot_seconds", "Time per output token after the first byte of a streamed answer.",
            lambda series: series.tpot, _LATER),
    _Column("request_predicted_ttft_seconds", "Time to the first token that was expected of the choice.",
            lambda series: series.predicted_ttft, _LATER),
    _Column("request_predicted_tpot_seconds", "Time per output token that was expected of the choice.",
            lambda series: series.predicted_tpot, _LATER),
    _Column("normalized_time_per_output_token_seconds", "Duration of a request divided by its output tokens.",
            lambda series: series.normalized, _LATER),
    _Column("request_sizes", "Bytes of the bodies of routed requests.", lambda series: series.request_bytes, _BOTH),
    _Column("response_sizes", "Bytes of the bodies of complete answers.", lambda series: series.response_bytes, _BOTH),
    _Column("input_tokens", "Prompt tokens of a request, as the server reports them.",
            lambda series: series.input_tokens, _BOTH),
    _Column("output_tokens", "Output tokens of an answer, as the server reports them.",
            lambda series: series.output_tokens, _BOTH),
    _Column("prompt_cached_tokens", "Prompt tokens that the server took from its prefix cache.",
            lambda series: series.cached_tokens, _LATER),
)  # fmt: skip


class PickerCollector(Collector):
    """Reads the counts, and the pool, when a scrape asks. A histogram without observations is left out."""

    def __init__(self, pool: PoolView, state: State, commit: str, build_ref: str) -> None:
        self._pool = pool
        self._state = state
        self._build = (commit, build_ref)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        yield from self._requests()
        yield from self._histograms()
        yield from self._objectives()
        yield from self._pool_gauges()
        yield from self._scheduler()
        info = GaugeMetricFamily("inference_extension_info", "Build of this picker.", labels=("commit", "build_ref"))
        info.add_metric(self._build, 1)
        yield info

    def _requests(self) -> Iterator[Metric]:
        help_text = "Requests that were given an endpoint."
        by_model = CounterMetricFamily("inference_model_request", help_text, labels=_PAIR)
        by_priority = CounterMetricFamily("inference_objective_request", help_text, labels=(*_PAIR, "priority"))
        for series in self._state.series.values():
            by_model.add_metric((series.model, series.target), sum(series.requests.values()))
            for priority, count in series.requests.items():
                by_priority.add_metric((series.model, series.target, str(priority)), count)
        yield by_model
        yield by_priority
        for generation in _BOTH:
            errors = CounterMetricFamily(
                f"{generation}_request_error",
                "Requests that got no endpoint or no good answer, by error code.",
                labels=(*_PAIR, "error_code"),
            )
            for labels, count in self._state.errors.items():
                errors.add_metric(labels, count)
            yield errors
            running = GaugeMetricFamily(
                f"{generation}_running_requests", "Routed requests that have not ended.", labels=("model_name",)
            )
            for model, in_flight in self._state.running.items():
                running.add_metric((model,), in_flight)
            yield running

    def _histograms(self) -> Iterator[Metric]:
        for column in _COLUMNS:
            for generation in column.generations:
                family = HistogramMetricFamily(f"{generation}_{column.suffix}", column.help, labels=_PAIR)
                for series in self._state.series.values():
                    histogram = column.of(series)
                    if histogram.count:
                        family.add_metric((series.model, series.target), histogram.cumulative(), histogram.total)
                yield family

    def _objectives(self) -> Iterator[Metric]:
        labels = (*_PAIR, "type")
        latest = GaugeMetricFamily(
            "inference_objective_inference_request_metric",
            "Latest time to first token and per output token in seconds, and whether it missed the client's objective.",
            labels=labels,
        )
        violations = CounterMetricFamily(
            "inference_objective_request_slo_violation", "Answers slower than the client's objective.", labels=labels
        )
        for series in self._state.series.values():
            for kind, value in series.latest.items():
                latest.add_metric((series.model, series.target, kind), value)
            for kind, count in series.violations.items():
                violations.add_metric((series.model, series.target, kind), count)
        yield latest
        yield violations

    def _pool_gauges(self) -> Iterator[Metric]:
        """Averages run over the ready endpoints whose metrics have been read; with none they are 0."""
        name = self._pool.name
        loads = self._pool.loads()
        scraped = [load for load in loads if load.scraped]
        count = max(len(scraped), 1)
        for metric, help_text, value in (
            (
                "average_kv_cache_utilization",
                "Mean share of KV-cache blocks in use, 0 to 1.",
                sum(load.kv_usage for load in scraped) / count,
            ),
            ("average_queue_size", "Mean number of waiting requests.", sum(load.waiting for load in scraped) / count),
            (
                "average_running_requests",
                "Mean number of requests in the servers' batches.",
                sum(load.running for load in scraped) / count,
            ),
            ("ready_pods", "Endpoints that are ready.", len(loads)),
        ):
            gauge = GaugeMetricFamily(f"inference_pool_{metric}", help_text, labels=("name",))
            gauge.add_metric((name,), value)
            yield gauge
        queue = GaugeMetricFamily(
            "inference_pool_per_pod_queue_size",
            "Requests waiting at one model server.",
            labels=("name", "model_server_pod"),
        )
        for load in scraped:
            queue.add_metric((name, load.name), load.waiting)
        yield queue

    def _scheduler(self) -> Iterator[Metric]:
        seconds = self._state.scheduler_seconds
        latency = HistogramMetricFamily(
            "inference_extension_scheduler_e2e_duration_seconds", "Time one scheduling decision took.", labels=()
        )
        latency.add_metric((), seconds.cumulative(), seconds.total)
        yield latency
        attempts = CounterMetricFamily(
            "inference_extension_scheduler_attempts",
            "Scheduling attempts by outcome and chosen endpoint.",
            labels=("status", "target_model_name", "pod_name", "namespace", "port"),
        )
        for key, sent in self._state.attempts.items():
            port = "" if key.port is None else str(key.port)
            attempts.add_metric((key.status, key.target, key.pod, key.namespace, port), sent.count)
        yield attempts
        rewrites = CounterMetricFamily(
            "inference_extension_model_rewrite_decisions",
            "Targets chosen by InferenceModelRewrites.",
            labels=("model_rewrite_name", "model_name", "target_model"),
        )
        for labels, count in self._state.rewrites.items():
            rewrites.add_metric(labels, count)
        yield rewrites
