"""Line plots as SVG that takes its colours from the page around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 10, 40
_TICKS = 5
_DASHES = 3

COLOURS = (
    ("#0b6bb8", "#5fb2f2"),
    ("#c8500a", "#f79256"),
    ("#0a7f5a", "#4fd1a1"),
    ("#b0307e", "#f083c3"),
    ("#8a6a00", "#e2c04a"),
    ("#5b4bc4", "#a99cf5"),
    ("#00808f", "#4ccfe0"),
    ("#6b6b6b", "#b3b3b3"),
)
"""Of the lines, on a light page and on a dark one."""


def strokes(place: int) -> str:
    """The classes of the line at this place: its colour and, beyond the last colour, its dashes."""
    return f"c{place % len(COLOURS)} d{place // len(COLOURS) % _DASHES}"


@dataclass(frozen=True, slots=True)
class Line:
    """One curve. ``colour`` is the number of a colour of the page."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: int
    dots: bool = False
    """Whether each point is marked."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis. A logarithmic one shows positive values only."""

    label: str
    log: bool = False
    least: float | None = None
    most: float | None = None


def plot(
    title: str,
    across: Axis,
    up: Axis,
    lines: Sequence[Line],
    marks: Sequence[float] = (),
    width: int = 420,
    *,
    legend: bool = False,
) -> str:
    """Draw the lines. ``marks`` are values of the upright axis at which a dashed line runs across. ``legend`` names
    the lines within the picture, below on the right."""
    height = round(width * 0.62)
    values = [point for line in lines for point in line.points]
    x = _Scale(across, [point[0] for point in values], _LEFT, width - _RIGHT)
    y = _Scale(up, [point[1] for point in values] + list(marks), height - _BOTTOM, _TOP)
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
    ]
    for tick in x.ticks():
        at = x.at(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{height - _BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{height - _BOTTOM + 15}" text-anchor="middle">{_short(tick)}</text>')
    for tick in y.ticks():
        at = y.at(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{width - _RIGHT}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    middle = (_LEFT + width - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{height - 6}" text-anchor="middle">{escape(across.label)}</text>')
    centre = (height - _BOTTOM) / 2
    turned = f'x="12" y="{centre:.0f}" text-anchor="middle" transform="rotate(-90 12 {centre:.0f})"'
    parts.append(f"<text {turned}>{escape(up.label)}</text>")
    for mark in marks:
        at = y.at(mark)
        parts.append(f'<line class="mark" x1="{_LEFT}" y1="{at:.1f}" x2="{width - _RIGHT}" y2="{at:.1f}"/>')
    for line in lines:
        shown = [(x.at(a), y.at(b)) for a, b in line.points if x.shows(a) and y.shows(b)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in shown)
        parts.append(
            f'<polyline class="{strokes(line.colour)}" points="{path}"><title>{escape(line.label)}</title></polyline>'
        )
        if line.dots:
            parts += [f'<circle class="{strokes(line.colour)}" cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in shown]
    for place, line in enumerate(lines if legend else ()):
        at = height - _BOTTOM - 12 - 15 * (len(lines) - 1 - place)
        end = width - _RIGHT - 6
        parts.append(f'<polyline class="{strokes(line.colour)}" points="{end - 18},{at} {end},{at}"/>')
        parts.append(f'<text x="{end - 24}" y="{at + 4}" text-anchor="end">{escape(line.label)}</text>')
    parts.append("</svg>")
    return "".join(parts)


def standalone(picture: str, colours: Sequence[tuple[str, str]]) -> str:
    """A plot as a file of its own, for light and for dark pages; ``colours`` are pairs of one for each."""
    light, dark = (
        "".join(
            f"polyline.c{place}{{stroke:{pair[shade]}}}circle.c{place}{{fill:{pair[shade]}}}"
            for place, pair in enumerate(colours)
        )
        for shade in (0, 1)
    )
    style = (
        f"text{{fill:#5c656e;font:11px sans-serif}}.grid{{stroke:#d9dde1}}.mark{{stroke:#1c2024;stroke-dasharray:4 3}}"
        f"polyline{{fill:none;stroke-width:1.6}}polyline.d1{{stroke-dasharray:6 3}}polyline.d2{{stroke-dasharray:2 2}}"
        f"{light}@media (prefers-color-scheme:dark){{text{{fill:#9aa4ae}}"
        f".grid{{stroke:#363c43}}.mark{{stroke:#e6e9ec}}{dark}}}"
    )
    head, _, rest = picture.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{rest}\n'


class _Scale:
    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float) -> None:
        self._log = axis.log
        kept = [value for value in values if self.shows(value)]
        low = axis.least if axis.least is not None else min(kept, default=0.1)
        high = axis.most if axis.most is not None else max(kept, default=1.0)
        self._low, self._high = self._position(low), self._position(high)
        if self._high <= self._low:
            self._high = self._low + 1
        self._start, self._span = start, end - start

    def shows(self, value: float) -> bool:
        """Whether there is a place for this value."""
        return math.isfinite(value) and (value > 0 or not self._log)

    def at(self, value: float) -> float:
        """Where the value is in the picture; what lies outside is at its edge."""
        part = (self._position(value) - self._low) / (self._high - self._low)
        return self._start + min(max(part, 0.0), 1.0) * self._span

    def ticks(self) -> list[float]:
        """Round numbers along the axis."""
        if self._log:
            found = [
                digit * 10.0**power
                for power in range(math.floor(self._low), math.ceil(self._high) + 1)
                for digit in ((1, 3) if self._high - self._low < 3 else (1,))
            ]
        else:
            rough = (self._high - self._low) / _TICKS
            power = 10.0 ** math.floor(math.log10(rough))
            step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
            first = math.ceil(self._low / step)
            found = [number * step for number in range(first, math.floor(self._high / step) + 1)]
        return [tick for tick in found if self._low - 1e-9 <= self._position(tick) <= self._high + 1e-9]

    def _position(self, value: float) -> float:
        return math.log10(value) if self._log else value


def _short(value: float) -> str:
    return f"{value:.0e}" if value and abs(value) < 1e-3 else f"{value:.4g}"
