"""What Python's garbage collector does while requests pass: ``python -m bench.garbage``.

Exchanges of recorded messages in process, with so many under way; every collection is timed.
"""

from __future__ import annotations

import gc
import time
from collections import deque

import signalbox.cli.picker  # all that a picker loads
from bench import report
from bench.exchange import Sink, picker_director
from bench.recorded import SHAPES
from signalbox.director import Director
from signalbox.extproc import Exchange, Terms

_REQUESTS = 30_000
_PICKER = signalbox.cli.picker.Picker


def main() -> None:
    """Measure and print."""
    director = picker_director()
    rows = []
    for under_way in (32, 1000):
        rows.append(("as it comes", f"{under_way:,}", *_row(director, under_way)))
    gc.collect()
    gc.freeze()
    for under_way in (32, 1000):
        rows.append(("frozen after the start", f"{under_way:,}", *_row(director, under_way)))
    columns = ("", "under way", "collections", "longest ms", "a full one ms")
    report.show([report.plain_table(f"{_REQUESTS:,} requests", columns, rows)])


def _row(director: Director, under_way: int) -> tuple[str, str, str]:
    gc.collect()
    started = time.perf_counter()
    gc.collect()
    full = time.perf_counter() - started
    pauses: list[float] = []
    began = 0.0

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            pauses.append(time.perf_counter() - began)

    gc.callbacks.append(watch)
    try:
        _serve(director, under_way)
    finally:
        gc.callbacks.remove(watch)
    return str(len(pauses)), f"{max(pauses, default=0.0) * 1e3:.2f}", f"{full * 1e3:.1f}"


def _serve(director: Director, under_way: int) -> None:
    messages, call, terms = SHAPES[0].messages(), Sink(), Terms()
    opened: deque[Exchange] = deque()
    for _ in range(_REQUESTS):
        exchange = Exchange(call, director, time.monotonic, terms)
        for message in messages[:3]:
            exchange.message(message)
        opened.append(exchange)
        if len(opened) > under_way:
            exchange = opened.popleft()
            for message in messages[3:]:
                exchange.message(message)
    for exchange in opened:
        exchange.cancelled()


if __name__ == "__main__":
    main()
