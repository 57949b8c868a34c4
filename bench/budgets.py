"""The budgets: what was promised, what was measured, and whether it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.decision import Decision
from bench.measure import Figures
from bench.standing import Crowd, Memory
from bench.ways import COMPILED, FLOOR, GATEWAY, GRPC, PICKER

FLAT_BYTES = 4_000_000
"""Growth over 100,000 requests that still counts as flat: allocator noise, no leak of even 40 bytes a request."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One promise."""

    what: str
    limit: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that budgets are judged by."""

    by_connections: Mapping[int, Mapping[str, Figures]]
    by_size: Mapping[int, Mapping[str, Figures]]
    streamed: Mapping[str, Figures]
    decisions: list[Decision]
    memory: Memory
    crowd: Crowd
    idle_cores: float


def chunk_cost_us(streamed: Figures, plain: Figures) -> float:
    """CPU of the picker for one chunk: what a streamed request costs above a plain one, by its additional messages."""
    return (streamed.picker_us - plain.picker_us) / max(1.0, streamed.messages - plain.messages)


def budgets(found: Findings) -> list[Budget]:
    """Judge every budget of the design."""
    busy, single = found.by_connections[32], found.by_connections[1]
    ours, own_gateway = busy[PICKER], busy[GATEWAY]
    compiled = busy.get(COMPILED)
    chunk = chunk_cost_us(found.streamed[PICKER], ours)
    small, large = found.by_size[1_000][PICKER], found.by_size[100_000][PICKER]
    added, floor_added = single[PICKER].added_p50_us or 0.0, single[FLOOR].added_p50_us or 0.0
    promised = [
        ratio("picker CPU / bare grpc.aio's, 32 connections", ours.picker_us, busy[GRPC].picker_us, 0.2),
        ratio("picker CPU / Envoy's for the same request", ours.picker_us, ours.proxy_us, 0.5),
        ratio("same, behind our own Envoy", own_gateway.picker_us, own_gateway.proxy_us, 0.5),
        ratio("added p50 / bare frame loop's, 1 connection", added, floor_added, 1.5),
    ]
    if compiled is not None:
        added = single[COMPILED].added_p50_us or 0.0
        promised += [
            ratio("compiled: picker CPU / bare grpc.aio's", compiled.picker_us, busy[GRPC].picker_us, 0.2),
            ratio("compiled: picker CPU / Envoy's", compiled.picker_us, compiled.proxy_us, 0.5),
            ratio("compiled: added p50 / bare frame loop's, 1 connection", added, floor_added, 1.5),
        ]
    return [
        *promised,
        Budget("streamed chunk, FULL_DUPLEX", "30 us", f"{chunk:.1f} us", chunk <= 30),
        ratio("picker CPU, 100 KB prompt / 1 KB", large.picker_us, small.picker_us, 3.0),
        Budget("1,000 endpoints scraped", "0.5 cores", f"{found.crowd.cores:.2f} cores", found.crowd.cores < 0.5),
        Budget(
            "memory at 1,000 endpoints",
            "150 MB",
            f"{found.crowd.resident_bytes / 1e6:.0f} MB",
            found.crowd.resident_bytes < 150_000_000,
        ),
        Budget(
            f"memory over {found.memory.points[-1][0]:,} requests",
            "flat",
            f"{found.memory.growth_bytes / 1e6:+.1f} MB",
            found.memory.growth_bytes < FLAT_BYTES,
        ),
    ]


def ratio(what: str, ours: float, other: float, limit: float) -> Budget:
    """A promise that one cost is at most ``limit`` times another, both in microseconds."""
    ratio = ours / other if other else float("inf")
    return Budget(what, f"{limit:g}x", f"{ratio:.2f}x ({ours:.0f} / {other:.0f} us)", ratio <= limit)
