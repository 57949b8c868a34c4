"""What keeping decisions for ``signalbox explain`` costs: ``python -m bench.explained``.

Directors that differ in their journal alone take turns, some milliseconds each, so that what else the machine does
meets all of them. ``--explain-rate`` bounds how many decisions a second are kept: the table gives the cost of one
that is kept, of one that is passed over, and what both come to at a load that fills the time.
"""

from __future__ import annotations

import random
import time
from collections import deque
from statistics import median

from bench.decision import loaded_pool
from bench.load import completion_request
from signalbox.director import Arrival, Director, Routed, Rules, Ticket, guide_rules, policy_rules
from signalbox.observability import DecisionLog
from signalbox.pool import Pool
from signalbox.scheduling import load_policy

SCORERS = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: prefix-cache-scorer}, {type: lora-affinity-scorer}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer}, {pluginRef: kv-cache-utilization-scorer}, {pluginRef: prefix-cache-scorer}, {pluginRef: lora-affinity-scorer}]
"""  # noqa: E501
RATE = 100.0
_UNDER_WAY = 32
_BATCH = 500


def rules_of(policy: str, pool: Pool) -> Rules:
    """The guide's filter tree, or four scorers with the prefix index."""
    return guide_rules() if policy == "guide" else policy_rules(load_policy(SCORERS, name="bench"), pool)


class Subject:
    """A director with its open requests; ``rate`` is its journal's, ``None`` for none."""

    def __init__(self, size: int, policy: str, rate: float | None) -> None:
        pool = loaded_pool(size)
        journal = None if rate is None else DecisionLog(pool, 1000, 1.0, rate)
        self._director = Director(
            pool, rules_of(policy, pool), rng=random.Random(7), journal=journal, stopwatch=time.perf_counter
        )
        self._now = 0.0
        self._open: deque[Ticket] = deque()
        self._arrival = Arrival("/v1/completions", completion_request(1000), "bench")

    def batch_us(self) -> float:
        """CPU microseconds of one arrive and finish."""
        director, waiting = self._director, self._open
        started = time.process_time()
        for _ in range(_BATCH):
            self._now += 1e-3
            outcome = director.arrive(self._arrival, self._now)
            assert isinstance(outcome, Routed)
            assert outcome.ticket is not None
            waiting.append(outcome.ticket)
            if len(waiting) > _UNDER_WAY:
                director.finish(waiting.popleft(), self._now, outcome="complete", status=200)
        return (time.process_time() - started) / _BATCH * 1e6


def measure(size: int, policy: str, rounds: int) -> tuple[float, float, float]:
    """Microseconds of a decision without a journal, and what one adds that passes over, and that keeps, everything."""
    subjects = [Subject(size, policy, rate) for rate in (None, 1e-6, 1e6)]
    for subject in subjects:
        for _ in range(4):
            subject.batch_us()
    times = [[subject.batch_us() for subject in subjects] for _ in range(rounds)]
    off = median(row[0] for row in times)
    return off, median(row[1] - row[0] for row in times), median(row[2] - row[0] for row in times)


def main() -> None:
    """Measure and print."""
    print(f"{'endpoints':>9} {'policy':>8} {'decision us':>12} {'passed over':>12} {'kept':>8} {'at full load':>13}")
    for size in (8, 64, 1000):
        for policy in ("guide", "scorers"):
            off, passed, kept = measure(size, policy, 61)
            full = 1e6 / (off + passed)  # decisions a second that take all of the time
            added = (RATE * kept + (full - RATE) * passed) / full
            print(f"{size:>9} {policy:>8} {off:>12.1f} {passed:>12.2f} {kept:>8.2f} {added / off:>13.1%}")


if __name__ == "__main__":
    main()
