"""What one decision costs in process: ``arrive`` and ``finish`` of the director over pools of several sizes."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

import yaml

from bench.load import completion_request
from bench.rig import POOL, pool_manifests
from signalbox.director import Arrival, Director, Observer, Routed, SilentObserver, Ticket, guide_rules
from signalbox.observability import PickerMetrics, ReportedLoad
from signalbox.pool import Pool, Readings
from signalbox.resources import InferenceModel, InferencePool, Origin, Pod, parse_resource

_UNDER_WAY = 32


@dataclass(frozen=True, slots=True)
class Decision:
    """CPU microseconds of one arrive and finish, with a 1 KB body."""

    endpoints: int
    bare_us: float
    """Nobody watches."""
    watched_us: float
    """The picker's metrics watch, as they do in ``signalbox epp``."""


def measure_decisions(sizes: Iterable[int], rounds: int, requests: int) -> list[Decision]:
    """Measure each size in turn, ``rounds`` times; medians."""
    subjects = {}
    for size in sizes:
        pool = loaded_pool(size)
        watched = PickerMetrics(ReportedLoad(pool), build_ref="bench")
        subjects[size] = (_director(pool, SilentObserver()), _director(pool, watched))
    times: dict[int, tuple[list[float], list[float]]] = {size: ([], []) for size in subjects}
    for _ in range(rounds):
        for size, directors in subjects.items():
            for director, found in zip(directors, times[size], strict=True):
                found.append(_one_decision_us(director, requests))
    return [Decision(size, median(bare), median(watched)) for size, (bare, watched) in times.items()]


def loaded_pool(size: int) -> Pool:
    """A pool of ``size`` endpoints that report different loads."""
    pool = Pool(POOL)
    addresses = [f"127.{1 + number // 250}.3.{1 + number % 250}:8000" for number in range(size)]
    for number, document in enumerate(yaml.safe_load_all(pool_manifests(addresses))):
        resource = parse_resource(document, Origin("bench", number + 1, 1))
        if isinstance(resource, InferencePool):
            pool.set_pool(resource)
        elif isinstance(resource, Pod | InferenceModel):
            pool.put(resource)
    dice = random.Random(7)
    for endpoint in pool.endpoints:
        waiting, running = dice.randrange(6), dice.randrange(32)
        readings = Readings(waiting=waiting, running=running, kv_usage=dice.random() * 0.7)
        pool.record(endpoint, readings, pool.begin_scrape(endpoint), 0.0)
    return pool


def _director(pool: Pool, observer: Observer) -> Director:
    return Director(pool, guide_rules(), rng=random.Random(7), observer=observer, stopwatch=time.perf_counter)


def _one_decision_us(director: Director, requests: int) -> float:
    arrival = Arrival("/v1/completions", completion_request(1000), "bench")
    open_tickets: deque[Ticket] = deque()
    started = time.process_time()
    for number in range(requests):
        outcome = director.arrive(arrival, float(number))
        assert isinstance(outcome, Routed), outcome
        assert outcome.ticket is not None
        open_tickets.append(outcome.ticket)
        if len(open_tickets) > _UNDER_WAY:
            director.finish(open_tickets.popleft(), float(number), outcome="complete", status=200)
    spent = time.process_time() - started
    for ticket in open_tickets:
        director.finish(ticket, float(requests), outcome="complete", status=200)
    return spent / requests * 1e6
