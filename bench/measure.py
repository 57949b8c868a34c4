"""Turns and rounds: each way gets its turn in every round; figures are medians over rounds, comparisons are made
within a round."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from bench.load import Generator, LoadFailed
from bench.rig import Way

OURS = frozenset({"picker", "compiled", "gateway"})
"""The ways whose failed requests end a run."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn of one way; times in microseconds, CPU per request."""

    requests: int
    failed: int
    per_second: float
    p50_us: float
    p99_us: float
    picker_us: float
    proxy_us: float
    messages: float
    """ext_proc messages that Envoy sent for each request."""

    @property
    def total_us(self) -> float:
        """CPU of proxy and picker together."""
        return self.picker_us + self.proxy_us


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over the rounds of one way, in the fields of :class:`Sample`."""

    rounds: int
    requests: int
    failed: int
    per_second: float
    p50_us: float
    p99_us: float
    picker_us: float
    proxy_us: float
    total_us: float
    messages: float
    added_p50_us: float | None = None
    """p50 above that of the first way, in the same round."""
    added_p99_us: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """Plain numbers, rounded to what they are worth."""
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Setting:
    """What load is put on every way."""

    title: str
    body: bytes
    connections: int
    seconds: float
    rounds: int
    streamed: bool = False


def turn(way: Way, setting: Setting, generator: Generator) -> Sample:
    """Put load on one way and account for it."""
    way.proxy.check()
    sent = way.messages_sent()
    proxy_before = way.proxy.cpu_seconds()
    picker_before = way.picker_cpu_seconds()
    load = generator.run(way.url(setting.streamed), setting.connections, setting.seconds, setting.body)
    picker_cpu = way.picker_cpu_seconds() - picker_before
    proxy_cpu = way.proxy.cpu_seconds() - proxy_before
    if load.failed and way.key in OURS:
        # A failure costs next to nothing: our figures would look the better for it. Those of others are shown.
        raise LoadFailed(f"{way.title}: {load.failed} of {load.requests} requests failed ({setting.title})")
    count = max(1, load.requests)
    return Sample(
        requests=load.requests,
        failed=load.failed,
        per_second=load.requests / load.seconds,
        p50_us=load.p50_us,
        p99_us=load.p99_us,
        picker_us=picker_cpu / count * 1e6,
        proxy_us=proxy_cpu / count * 1e6,
        messages=(way.messages_sent() - sent) / count,
    )


def compare(ways: Sequence[Way], setting: Setting, generator: Generator) -> dict[str, Figures]:
    """Give every way its turn in each round. The first way is what latency is added to."""
    samples: dict[str, list[Sample]] = {way.key: [] for way in ways}
    for number in range(setting.rounds):
        # Every other round runs backwards, so that nobody always follows the same neighbour.
        for way in ways if number % 2 == 0 else reversed(ways):
            samples[way.key].append(turn(way, setting, generator))
        said = "  ".join(f"{way.key} {samples[way.key][-1].total_us:.0f}" for way in ways)
        print(f"{setting.title}, round {number + 1}/{setting.rounds}, us/request: {said}", file=sys.stderr, flush=True)
    base = samples[ways[0].key]
    return {way.key: _figures(samples[way.key], base if way is not ways[0] else None) for way in ways}


def _figures(samples: Sequence[Sample], base: Sequence[Sample] | None) -> Figures:
    pairs = list(zip(samples, base, strict=True)) if base is not None else []
    return Figures(
        rounds=len(samples),
        requests=sum(sample.requests for sample in samples),
        failed=sum(sample.failed for sample in samples),
        per_second=median(sample.per_second for sample in samples),
        p50_us=median(sample.p50_us for sample in samples),
        p99_us=median(sample.p99_us for sample in samples),
        picker_us=median(sample.picker_us for sample in samples),
        proxy_us=median(sample.proxy_us for sample in samples),
        total_us=median(sample.total_us for sample in samples),
        messages=median(sample.messages for sample in samples),
        added_p50_us=median(own.p50_us - other.p50_us for own, other in pairs) if pairs else None,
        added_p99_us=median(own.p99_us - other.p99_us for own, other in pairs) if pairs else None,
    )
