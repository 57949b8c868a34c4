"""What a picker costs while it stands: memory over many requests, and scraping of many endpoints."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from bench.load import Generator, completion_request
from bench.ports import free_port
from bench.processes import Process, python_module
from bench.rig import Rig, Way

CROWD = 1000


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of the picker, in bytes, after so many requests."""

    points: tuple[tuple[int, int], ...]
    """(requests so far, bytes); the first point is after warming up."""

    @property
    def growth_bytes(self) -> int:
        """The last point against the first."""
        return self.points[-1][1] - self.points[0][1]


@dataclass(frozen=True, slots=True)
class Crowd:
    """A picker over ``endpoints`` model servers, with no requests."""

    endpoints: int
    cores: float
    """CPU seconds a second spent on scraping."""
    resident_bytes: int


def measure_memory(way: Way, generator: Generator, requests: int, steps: int) -> Memory:
    """Send ``requests`` through ``way`` and look at its picker's memory after each of ``steps`` equal parts."""
    assert way.picker is not None
    body = completion_request(1000)
    generator.run(way.url(), 32, 1, body)
    points = [(0, way.picker.resident_bytes())]
    sent = 0
    for step in range(1, steps + 1):
        while sent < requests * step / steps:
            sent += generator.run(way.url(), 32, 1, body).requests
        points.append((sent, way.picker.resident_bytes()))
        print(f"memory: {sent} requests, {points[-1][1] / 1e6:.1f} MB", file=sys.stderr, flush=True)
    return Memory(tuple(points))


def cores_used(process: Process, seconds: float) -> float:
    """CPU seconds a second that a process spends while nobody asks it anything."""
    before, started = process.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (process.cpu_seconds() - before) / (time.monotonic() - started)


def measure_crowd(rig: Rig, seconds: float, endpoints: int = CROWD) -> Crowd:
    """Let a picker scrape ``endpoints`` servers; all of them are one process with as many addresses."""
    hosts = [f"127.4.{number // 250}.{1 + number % 250}" for number in range(endpoints)]
    port = free_port(hosts)
    argv = python_module("bench.servers.stream_server", str(port), ",".join(hosts))
    servers = rig.keep(Process("crowd", argv, rig.directory / "crowd.log"))
    servers.listening(hosts[-1], port)
    picker, _ = rig.start_picker([f"{host}:{port}" for host in hosts], "crowd-picker")
    try:
        time.sleep(min(3.0, seconds))  # the poller learns what a scrape costs, and slows down
        return Crowd(endpoints, cores_used(picker, seconds), picker.resident_bytes())
    finally:
        picker.stop()
        servers.stop()
