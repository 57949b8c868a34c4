"""Prometheus text written straight from counters: a scrape every 50 ms may cost next to nothing."""

import time
from bisect import bisect_left
from collections.abc import Sequence

SECONDS_TO_FIRST_TOKEN = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
SECONDS_PER_TOKEN = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
SECONDS_PER_REQUEST = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
TOKENS_PER_BATCH = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
CHOICES = (1, 2, 5, 10, 20)


def one_two_five(largest: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... up to ``largest``."""
    bounds: list[int] = []
    decade = 1
    while True:
        for step in (1, 2, 5):
            if step * decade > largest:
                return bounds
            bounds.append(step * decade)
        decade *= 10


class Histogram:
    """One histogram with one label set; its text is kept until the next observation."""

    def __init__(self, name: str, help_text: str, labels: str, bounds: Sequence[float]) -> None:
        self._bounds = list(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._text: str | None = None
        self._head = f"# HELP {name} {help_text}\n# TYPE {name} histogram\n"
        limits = [*(repr(float(bound)) for bound in self._bounds), "+Inf"]
        self._lines = [f'{name}_bucket{{{labels},le="{limit}"}} ' for limit in limits]
        self._count_line = f"{name}_count{{{labels}}} "
        self._sum_line = f"{name}_sum{{{labels}}} "
        self._created = (
            f"# HELP {name}_created {help_text}\n# TYPE {name}_created gauge\n"
            f"{name}_created{{{labels}}} {time.time()!r}\n"
        )

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, ``times`` times over."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times
        self._text = None

    def render(self) -> str:
        """Its lines in the text exposition format."""
        if self._text is None:
            total = 0
            lines = [self._head]
            for prefix, count in zip(self._lines, self._counts, strict=True):
                total += count
                lines.append(f"{prefix}{total}.0\n")
            lines.append(f"{self._count_line}{total}.0\n{self._sum_line}{self._sum!r}\n{self._created}")
            self._text = "".join(lines)
        return self._text


def counter_lines(name: str, help_text: str, series: Sequence[str]) -> tuple[list[str], str]:
    """A counter family as (line prefixes to put a value behind, the constant ``_created`` family).

    The first prefix carries the family's head.
    """
    head = f"# HELP {name}_total {help_text}\n# TYPE {name}_total counter\n"
    prefixes = [f"{name}_total{{{labels}}} " for labels in series]
    prefixes[0] = head + prefixes[0]
    now = repr(time.time())
    created = f"# HELP {name}_created {help_text}\n# TYPE {name}_created gauge\n"
    created += "".join(f"{name}_created{{{labels}}} {now}\n" for labels in series)
    return prefixes, created


def label_value(text: str) -> str:
    """A label value with backslash, quote and newline escaped."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
