"""The precise prefix cache as metrics: what llm-d counts under its names, and what only this picker knows."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from signalbox.director import Director, PreciseTracker
from signalbox.signals.kv_events import EventsFollower
from signalbox.signals.tokens import TokenClient


class PreciseCollector(Collector):
    """Reads counts when a scrape asks; nothing where prefixes are approximate."""

    def __init__(self, director: Director, events: EventsFollower, tokens: TokenClient) -> None:
        self._director = director
        self._events = events
        self._tokens = tokens

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        tracker = self._director.rules.prefix
        if not isinstance(tracker, PreciseTracker):
            return
        index, asked, tally = tracker.index, tracker.figures, tracker.index.tally
        for name, help_text, count in (
            ("llm_d_epp_kv_cache_index_admissions", "Blocks that engines stored.", tally.stored),
            ("llm_d_epp_kv_cache_index_evictions", "Blocks that engines removed.", tally.removed),
            ("llm_d_epp_kv_cache_index_lookup_requests", "Prompts looked up by token ids.", asked.lookups),
            ("llm_d_epp_kv_cache_index_lookup_hits", "Those somebody held a block of.", asked.hits),
            ("signalbox_precise_prefix_estimated", "Prompts looked up by estimate.", asked.estimated),
        ):
            yield _counter(name, help_text, count)
        left_out = CounterMetricFamily(
            "signalbox_precise_prefix_left_out", "Blocks that engines stored and the index did not take in, by reason.",
            labels=("reason",),
        )  # fmt: skip
        for reason in ("orphaned", "unaligned", "overflowed"):
            left_out.add_metric((reason,), getattr(tally, reason))
        yield left_out
        questions = CounterMetricFamily(
            "signalbox_token_questions", "Prompts whose token ids were wanted, by what came of it.", labels=("outcome",)
        )
        for outcome in ("asked", "remembered", "failed", "refused", "skipped"):
            questions.add_metric((outcome,), getattr(self._tokens.figures, outcome))
        yield questions
        yield _gauge("signalbox_token_outages", "Addresses that tell no token ids.", len(self._tokens.outages))
        yield _gauge("signalbox_precise_prefix_blocks", "Blocks that engines are known to hold.", index.entries)
        yield _gauge("signalbox_precise_prefix_memory_bytes", "Estimated size of the index.", index.memory_bytes)
        figures = list(self._events.figures().values())
        connected = sum([found.connected for found in figures])
        yield _gauge("signalbox_kv_events_connected", "Endpoints whose events come.", connected)
        messages = CounterMetricFamily("signalbox_kv_events", "What came of the engines' messages.", labels=("what",))
        for what, count in self._events.totals().items():
            messages.add_metric((what,), count)
        yield messages


def _counter(name: str, help_text: str, value: float) -> Metric:
    family = CounterMetricFamily(name, help_text)
    family.add_metric((), value)
    return family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, help_text)
    family.add_metric((), value)
    return family
