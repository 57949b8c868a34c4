"""How fairly clients are served, as metrics: what a program-aware fairness policy has counted, by llm-d's names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from signalbox.director import Director
from signalbox.observability.flow import DEFAULT_FLOW
from signalbox.observability.names import NameGuard
from signalbox.scheduling.fairness import ProgramAware

PREFIX = "llm_d_epp_program_aware"
MOST_PROGRAMS = 100
"""Clients shown: those served last. They choose their ids, and any number of labels would fill a Prometheus."""


class FairnessCollector(Collector):
    """Reads a director's fairness policies when a scrape asks; nothing while none counts service."""

    def __init__(self, director: Director, clock: Callable[[], float]) -> None:
        self._director = director
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family. Where bands have policies of their own, the highest band's is shown."""
        queues = self._director.rules.flow
        if queues is None:
            return
        settings = queues.settings
        bands = [settings.bands[priority] for priority in sorted(settings.bands, reverse=True)]
        policies = [band.fairness for band in (*bands, settings.default, settings.negative)]
        policy = next((found for found in policies if isinstance(found, ProgramAware)), None)
        if policy is None:
            return
        service, now = policy.service, self._clock()
        yield GaugeMetricFamily(
            f"{PREFIX}_jains_fairness_index",
            "How equally long clients wait on average: 1 for all alike.",
            value=service.jain(),
        )
        waits = GaugeMetricFamily(
            f"{PREFIX}_avg_wait_time_milliseconds",
            "How long a client's requests waited in the picker, of those that waited.",
            labels=("program_id",),
        )
        tokens = GaugeMetricFamily(
            f"{PREFIX}_attained_service_tokens",
            "Tokens a client has been served with, answers counted double, fading with time.",
            labels=("program_id",),
        )
        shown = NameGuard(MOST_PROGRAMS)
        for name, client in islice(service.latest(), MOST_PROGRAMS):
            label = shown.admit(name) if name else DEFAULT_FLOW
            if name and label != name:
                continue  # not a label: too long, or no text
            if client.waits:
                waits.add_metric((label,), 1000 * client.average)
            tokens.add_metric((label,), service.tokens(name, now))
        yield waits
        yield tokens
