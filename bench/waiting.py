"""What waiting in the picker costs: ``python -m bench.waiting``.

In process, CPU time of ``arrive``, ``dispatch`` and ``finish`` of one request over 8 endpoints, with nobody watching.
Requests wait behind as many others as there are flows, one of each, and go one at a time. The ways take turns in each
round; figures are medians over the rounds. Memory is as `tracemalloc` counts it, for ten thousand that wait.
"""

from __future__ import annotations

import argparse
import random
import time
import tracemalloc
from collections.abc import Callable
from statistics import median

from rich.console import Console
from rich.table import Table

from bench import amounts
from bench.decision import loaded_pool
from bench.load import completion_request
from signalbox.director import Arrival, Director, Routed, Waiting, policy_rules
from signalbox.scheduling import load_policy

_HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
_PLUGINS = "plugins: [{{type: queue-scorer}}, {{type: concurrency-detector, parameters: {{maxConcurrency: {most}}}}}]\n"
_FLOW = (
    "featureGates: [flowControl]\n"
    "flowControl:\n"
    "  saturationDetector: {pluginRef: concurrency-detector}\n"
    "  defaultPriorityBand: {maxRequests: 1M, fairnessPolicyRef: round-robin-fairness-policy}\n"
)
_BODY = completion_request(1000)
ENDPOINTS = 8


def director(most: int, *, gate: bool) -> Director:
    """A director whose endpoints take ``most`` requests each."""
    pool = loaded_pool(ENDPOINTS)
    text = _HEAD + _PLUGINS.format(most=most) + (_FLOW if gate else "")
    return Director(pool, policy_rules(load_policy(text, name="bench"), pool), rng=random.Random(1))


def straight(gate: bool, requests: int) -> Callable[[], float]:
    """Requests that go straight on."""
    asked = director(1_000_000, gate=gate)
    arrival = Arrival("/v1/completions", _BODY)

    def run() -> float:
        begun = time.process_time()
        for number in range(requests):
            _end(asked, asked.arrive(arrival, float(number)), number)
        return (time.process_time() - begun) / requests * 1e6

    return run


def waited(flows: int, requests: int) -> Callable[[], float]:
    """Requests that wait behind one of each flow."""
    asked = director(1, gate=True)
    arrivals = [Arrival("/v1/completions", _BODY, fairness_id=f"client-{number}") for number in range(flows)]
    under_way = [asked.arrive(arrivals[0], 0.0) for _ in range(ENDPOINTS)]
    for arrival in arrivals:
        assert isinstance(asked.arrive(arrival, 0.0), Waiting)

    def run() -> float:
        begun = time.process_time()
        for _ in range(requests):
            _end(asked, under_way.pop(0), 1)
            ((waiting, outcome),) = asked.dispatch(1.0)
            under_way.append(outcome)
            assert isinstance(asked.arrive(waiting.arrival, 1.0), Waiting)
        return (time.process_time() - begun) / requests * 1e6

    return run


def _end(asked: Director, outcome: object, number: int) -> None:
    assert isinstance(outcome, Routed)
    assert outcome.ticket is not None
    asked.finish(outcome.ticket, float(number), outcome="complete", status=200)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting", description="What waiting in the picker costs.")
    parser.add_argument("--rounds", type=amounts.count, default=7)
    parser.add_argument("--requests", type=amounts.count, default=2000)
    arguments = parser.parse_args()
    ways = {
        "straight on, without flow control": straight(False, arguments.requests),
        "straight on, with it": straight(True, arguments.requests),
        "waited, 10 flows": waited(10, arguments.requests),
        "waited, 10,000 flows": waited(10_000, arguments.requests),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, run in ways.items():
            seconds[name].append(run())
    tracemalloc.start()
    asked = director(1, gate=True)
    arrivals = [Arrival("/v1/completions", _BODY, f"request-{number}") for number in range(10_000)]
    before = tracemalloc.get_traced_memory()[0]
    waiting = [asked.arrive(arrival, 0.0) for arrival in arrivals]
    kept = (tracemalloc.get_traced_memory()[0] - before) / len(waiting)
    tracemalloc.stop()
    table = Table("one request of 1 KB over 8 endpoints", "CPU us")
    for name, found in seconds.items():
        table.add_row(name, f"{median(found):.0f}")
    Console().print(table)
    print(f"memory of one that waits, beside its body: {kept / 1000:.1f} kB")


if __name__ == "__main__":
    main()
