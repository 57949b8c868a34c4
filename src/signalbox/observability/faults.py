"""What an operator should be alerted to, as metrics of our own: ``signalbox status`` has the words to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from signalbox.pool import Pool


class FaultCollector(Collector):
    """Reads, when a scrape asks, what of a pool and its configuration is not as its owner wants it."""

    def __init__(
        self,
        pool: Pool,
        refused_objects: Callable[[], int],
        configuration_refused: Callable[[], bool],
        plugin_faults: Callable[[], Mapping[str, int]],
    ) -> None:
        self._pool = pool
        self._refused_objects = refused_objects
        self._configuration_refused = configuration_refused
        self._plugin_faults = plugin_faults

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        pool = self._pool
        for name, help_text, value in (
            (
                "left_out_pods",
                "Pods that the pool selects and that are no endpoints.",
                sum(pod.selected for pod in pool.left_out()),
            ),
            ("refused_objects", "Problems of objects that were read and not taken.", self._refused_objects()),
            (
                "overruled_objects",
                "Objects, or parts of them, without effect because of others.",
                len(pool.catalogue.inventory.overruled),
            ),
            (
                "configuration_refused",
                "1 while the configuration file is not valid and an older one is in force.",
                int(self._configuration_refused()),
            ),
        ):
            gauge = GaugeMetricFamily(f"signalbox_{name}", help_text, labels=("name",))
            gauge.add_metric((pool.name,), value)
            yield gauge
        faults = CounterMetricFamily(
            "signalbox_plugin_faults",
            "Decisions from which a plugin was left out because it failed.",
            labels=("plugin",),
        )
        for plugin, count in self._plugin_faults().items():
            faults.add_metric((plugin,), count)
        yield faults
