"""How well the picker's knowledge of the cluster is kept up to date, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class FollowedResource(Protocol):
    """One collection of objects, as the source follows it."""

    @property
    def resource(self) -> str:
        """``plural.group``."""

    @property
    def objects(self) -> int:
        """How many there are."""

    @property
    def stale_seconds(self) -> float:
        """For how long changes may have gone unseen; 0 while it is followed."""

    @property
    def lists(self) -> int:
        """How often it was listed."""

    @property
    def events(self) -> int:
        """Changes reported by watches."""


class SourceCollector(Collector):
    """Shows a source that follows an API server; ``leads`` is ``None`` without leader election."""

    def __init__(
        self,
        state: Callable[[], Sequence[FollowedResource]],
        problems: Callable[[], Sequence[str]],
        leads: Callable[[], bool | None],
    ) -> None:
        self._state = state
        self._problems = problems
        self._leads = leads

    def collect(self) -> Iterable[Metric]:
        """Return the families, read now."""
        stale = GaugeMetricFamily(
            "signalbox_source_stale_seconds",
            "For how long changes of a resource may have gone unseen; 0 while it is followed.",
            labels=("resource",),
        )
        objects = GaugeMetricFamily("signalbox_source_objects", "Objects known of a resource.", labels=("resource",))
        lists = CounterMetricFamily(
            "signalbox_source_lists", "How often a resource was listed in full.", labels=("resource",)
        )
        events = CounterMetricFamily("signalbox_source_events", "Changes a watch reported.", labels=("resource",))
        for state in self._state():
            stale.add_metric((state.resource,), state.stale_seconds)
            objects.add_metric((state.resource,), state.objects)
            lists.add_metric((state.resource,), state.lists)
            events.add_metric((state.resource,), state.events)
        yield from (stale, objects, lists, events)
        yield GaugeMetricFamily(
            "signalbox_source_problems", "Objects that are not used as they are, and the like.", len(self._problems())
        )
        leads = self._leads()
        if leads is not None:
            yield GaugeMetricFamily("signalbox_leader", "1 on the replica that leads.", int(leads))
