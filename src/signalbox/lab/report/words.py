"""Numbers and names as people read them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from signalbox.lab.figures import SCALE, Figure
from signalbox.lab.servers import Server


def number(value: float) -> str:
    """Three digits that matter, more where they stand before the point; a dash for NaN."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never"
    if value == 0 or abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def with_interval(name: str, figure: Figure) -> tuple[str, str]:
    """A figure in the unit of its heading, and its interval; nothing where there is none."""
    scale = SCALE.get(name, 1.0)
    value = number(figure.value * scale)
    if figure.low == figure.high or math.isnan(figure.low):
        return value, ""
    return value, f"{number(figure.low * scale)} to {number(figure.high * scale)}"


def servers_in_words(servers: Sequence[Server]) -> str:
    """How many there are of each kind."""
    kinds = Counter(server.profile.name for server in servers)
    return ", ".join(f"{count} x {name}" for name, count in kinds.items())
