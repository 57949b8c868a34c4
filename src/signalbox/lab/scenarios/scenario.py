"""A contest's setting: traffic, and the servers it meets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from signalbox.lab.servers import Server, server
from signalbox.lab.traces import read_trace
from signalbox.lab.workload import Workload, in_order

H100 = "llama-3.1-8b-h100"
A100 = "llama-3.1-8b-a100"

Fleet = Callable[[float], tuple[Server, ...]]
"""The servers, for a replay of so many seconds."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """``load`` builds the traffic of a variant: another window of the trace, another seed and other parameters.
    `least-cost` was tuned on variants 0 to 9; 10 to 13 were looked at only after its last change."""

    name: str
    load: Callable[[int], Workload]
    fleet: Fleet
    speed: float
    """Where to begin to look for the highest speed: a factor of the workload's own."""


def equal(count: int = 8, profile: str = H100, loras: int = 0) -> Fleet:
    """Servers that are all the same and there all the time."""
    one = server(profile, max_loras=loras, max_cpu_loras=8 * loras)
    return lambda seconds: (one,) * count


@cache
def trace(directory: Path, name: str) -> Workload:
    """A recorded trace, read once. Requests of one moment are spread over the trace's step: between them servers can
    be asked how they are, as in production."""
    return read_trace(directory / name).spread()


def window(whole: Workload, start: float, minutes: float) -> Workload:
    """The requests of a trace that arrive from minute ``start`` on, counted from its beginning."""
    low, high = start * 60.0, (start + minutes) * 60.0
    kept = [request for request in whole.requests if low <= request.at < high]
    return Workload(f"{whole.name} {start:g}-{start + minutes:g} min", in_order(kept), whole.block_tokens)
