"""How requests wait in the picker, as metrics: under the name of the Gateway API Inference Extension and llm-d's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from signalbox.director import Director, Wait
from signalbox.observability.buckets import SCHEDULER_SECONDS, SECONDS
from signalbox.observability.histogram import Histogram
from signalbox.observability.names import NameGuard
from signalbox.scheduling.saturation import UtilizationDetector

PREFIXES = ("inference_extension_flow_control", "llm_d_epp_flow_control")
MOST_FAIRNESS_IDS = 100
DEFAULT_FLOW = "default-flow"
"""The label of requests without a fairness id."""

TAKEN_BACK = "EvictedPriority"
"""The outcome of requests that were taken back from their servers; they are counted as dispatched as well."""

_Flow = tuple[str, str]


class FlowCounts:
    """Counts waits. Clients choose their fairness ids: the first `MOST_FAIRNESS_IDS` become labels, all further ones
    are counted together under ``other``."""

    def __init__(self, most: int = MOST_FAIRNESS_IDS) -> None:
        self._names = NameGuard(most)
        self.seconds: dict[tuple[str, str, str], Histogram] = {}
        """How long requests waited, by fairness id, priority and outcome; 0 for those that did not have to."""
        self.requests: Counter[_Flow] = Counter()
        """Who waits now, by fairness id and priority."""
        self.bytes: Counter[_Flow] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """By outcome and priority."""
        self.looks = Histogram(SCHEDULER_SECONDS)
        """How long the picker took each time it looked whose turn it is."""

    def queued(self, wait: Wait) -> None:
        """Count a request that waits from now on."""
        flow = self._flow(wait)
        self.requests[flow] += 1
        self.bytes[flow] += wait.size

    def ended(self, wait: Wait) -> None:
        """Count the end of a wait, or that there was none."""
        flow = self._flow(wait)
        if wait.queued:
            self.requests[flow] -= 1
            self.bytes[flow] -= wait.size
        labels = (*flow, wait.outcome)
        histogram = self.seconds.get(labels)
        if histogram is None:
            histogram = self.seconds[labels] = Histogram(SECONDS)
        histogram.observe(wait.seconds)
        self.outcomes[wait.outcome, flow[1]] += 1

    def taken_back(self, priority: int) -> None:
        """Count a request that is taken back from its server, long after the end of its wait."""
        self.outcomes[TAKEN_BACK, str(priority)] += 1

    def looked(self, seconds: float) -> None:
        """Count a look at the queues."""
        self.looks.observe(seconds)

    def _flow(self, wait: Wait) -> _Flow:
        fairness_id = wait.flow.fairness_id
        return self._names.admit(fairness_id) if fairness_id else DEFAULT_FLOW, str(wait.flow.priority)


class FlowCollector(Collector):
    """Reads the counts, and a director's queues, when a scrape asks."""

    def __init__(self, counts: FlowCounts, director: Director, clock: Callable[[], float]) -> None:
        self._counts = counts
        self._director = director
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family; none before flow control was first on."""
        if self._director.rules.flow is None and not self._counts.outcomes:
            return
        for prefix in PREFIXES:
            yield from self._waits(prefix)
            yield from self._queues(prefix)
        yield from self._stale()

    def _waits(self, prefix: str) -> Iterator[Metric]:
        counts, pool = self._counts, self._director.pool.name
        seconds = HistogramMetricFamily(
            f"{prefix}_request_queue_duration_seconds",
            "Time requests waited in the picker.",
            labels=("fairness_id", "priority", "outcome", "inference_pool"),
        )
        for labels, histogram in counts.seconds.items():
            seconds.add_metric((*labels, pool), histogram.cumulative(), histogram.total)
        yield seconds
        looks = HistogramMetricFamily(
            f"{prefix}_dispatch_cycle_duration_seconds", "Time of one look at the queues, with what it sent.", labels=()
        )
        looks.add_metric((), counts.looks.cumulative(), counts.looks.total)
        yield looks
        for name, help_text, values in (
            ("size", "Requests that wait in the picker.", counts.requests),
            ("bytes", "Bytes of the bodies of requests that wait in the picker.", counts.bytes),
        ):
            gauge = GaugeMetricFamily(
                f"{prefix}_queue_{name}", help_text, labels=("fairness_id", "priority", "inference_pool")
            )
            for flow, value in values.items():
                gauge.add_metric((*flow, pool), value)
            yield gauge
        outcomes = CounterMetricFamily(
            f"{prefix}_requests",
            "Requests by what came of their wait.",
            labels=("outcome", "priority", "inference_pool"),
        )
        for pair, count in counts.outcomes.items():
            outcomes.add_metric((*pair, pool), count)
        yield outcomes

    def _queues(self, prefix: str) -> Iterator[Metric]:
        director = self._director
        queues = director.rules.flow
        if queues is None:
            return
        saturation = GaugeMetricFamily(
            f"{prefix}_pool_saturation",
            "How full the pool is, 1 at the limit: as scraped (admission), and with what was sent since (effective), by"
            " which requests that wait are let go.",
            labels=("inference_pool", "stage"),
        )
        now = self._clock()
        pool = director.pool
        for stage in ("admission", "effective"):
            value = director.saturation(now, believed=stage == "effective")
            saturation.add_metric((pool.name, stage), value)
        yield saturation
        bands, settings = queues.bands(), queues.settings
        for unit, whole, most in (
            ("requests", len(queues), settings.max_requests),
            ("bytes", queues.bytes, settings.max_bytes),
        ):
            used = GaugeMetricFamily(
                f"{prefix}_capacity_utilization_{unit}",
                f"Share of a band's {unit} in use.",
                labels=("priority", "inference_pool"),
            )
            for band in bands:
                limit = band.max_requests if unit == "requests" else band.max_bytes
                if limit:
                    there = band.requests if unit == "requests" else band.bytes
                    used.add_metric((str(band.priority), pool.name), there / limit)
            yield used
            if most:
                gauge = GaugeMetricFamily(
                    f"{prefix}_global_capacity_utilization_{unit}",
                    f"Share of all {unit} in use.",
                    labels=("inference_pool",),
                )
                gauge.add_metric((pool.name,), whole / most)
                yield gauge

    def _stale(self) -> Iterator[Metric]:
        """Under llm-d's name alone, as there: it never had the other."""
        pool, policy = self._director.pool, self._director.rules.policy
        if self._director.rules.flow is None or policy is None or not isinstance(policy.detector, UtilizationDetector):
            return
        gauge = GaugeMetricFamily(
            f"{PREFIXES[1]}_stale_endpoints",
            "Endpoints whose metrics are missing or older than the detector's metricsStalenessThreshold.",
            labels=("detector",),
        )
        gauge.add_metric(
            (policy.detector.name,), int(policy.detector.stale(pool.columns, pool.rows, self._clock()).sum())
        )
        yield gauge
