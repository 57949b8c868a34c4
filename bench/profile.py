"""Where a request's CPU goes: ``python -m bench.profile``.

Samples what runs, by the CPU clock, while recorded messages of Envoy go through the transport and the picker in
process (:mod:`bench.exchange`). A sample belongs to the innermost frame of this project, so what a library does counts
for whoever called it. Sockets and scraping are not in it.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import signalbox
from bench import amounts, report
from bench.exchange import picker_director, through_transport
from bench.recorded import SHAPES

_INTERVAL = 0.001
_ROOT = str(Path(signalbox.__file__).parent)


class Samples:
    """Counts where the program was at each tick of its CPU clock."""

    def __init__(self) -> None:
        self.rooms: Counter[str] = Counter()
        self.functions: Counter[str] = Counter()
        self.all = 0

    def take(self, number: int, frame: FrameType | None) -> None:
        """A signal handler."""
        self.all += 1
        while frame is not None and not frame.f_code.co_filename.startswith(_ROOT):
            frame = frame.f_back
        if frame is None:
            self.rooms["the benchmark itself"] += 1
            return
        module = frame.f_code.co_filename[len(_ROOT) + 1 :].removesuffix(".py")
        self.rooms[module.partition("/")[0]] += 1
        self.functions[f"{module}: {frame.f_code.co_qualname}"] += 1


def sample(shape_number: int, seconds: float) -> Samples:
    """Run one shape for about this much CPU time."""
    director = picker_director()
    shape = SHAPES[shape_number]
    through_transport(director, shape, 20)
    samples = Samples()
    before = signal.signal(signal.SIGPROF, samples.take)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
    try:
        started = time.process_time()
        while time.process_time() - started < seconds:
            through_transport(director, shape, 100)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return samples


def main() -> None:
    """Sample every shape and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--seconds", type=amounts.seconds, default=5.0, help="CPU seconds for each kind of request (5)")
    parser.add_argument("--functions", type=int, default=0, help="also the functions most often seen (0)")
    options = parser.parse_args()
    found = [sample(number, options.seconds) for number in range(len(SHAPES))]
    rooms = sorted({room for one in found for room in one.rooms}, key=lambda room: -found[0].rooms[room])
    rows = [(room, *(_share(one.rooms[room], one) for one in found)) for room in rooms]
    tables = [report.plain_table("share of the samples", ("", *(shape.title for shape in SHAPES)), rows)]
    if options.functions:
        for shape, one in zip(SHAPES, found, strict=True):
            top = [(name, _share(count, one)) for name, count in one.functions.most_common(options.functions)]
            tables.append(report.plain_table(shape.title, ("function", "share"), top))
    report.show(tables)


def _share(count: int, of: Samples) -> str:
    return f"{count / max(1, of.all):.1%}"


if __name__ == "__main__":
    main()
