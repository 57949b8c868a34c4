"""Times on a command line: seconds, or as Go programs write them."""

from __future__ import annotations

import re

import typer

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|ns)")


def seconds(text: str | float) -> float:
    """Return ``0.05``, ``50ms`` or ``1m30s`` in seconds; a number, which a default is, as it stands.

    Raises:
        typer.BadParameter: none of these, or below zero.
    """
    if not isinstance(text, str):
        return float(text)
    stripped = text.strip()
    position, total = 0, 0.0
    while position < len(stripped) and (part := _PART.match(stripped, position)):
        total += float(part[1]) * _UNITS[part[2]]
        position = part.end()
    if position and position == len(stripped):
        return total
    try:
        value = float(stripped)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        raise typer.BadParameter(f"{text!r} is no time: write seconds such as 0.05, or 50ms or 1m30s")
    return value
