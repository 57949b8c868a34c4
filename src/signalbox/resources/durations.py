"""Durations as the Gateway API writes them."""

from __future__ import annotations

import re

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_PART = re.compile(r"([0-9]+)(h|ms|m|s)")


def parse_duration(text: str) -> float:
    """Return a Gateway API duration in seconds: one to four whole numbers, each with a unit, as in ``1h30m``.

    The format is that of GEP-2257: the units are h, m, s and ms, a number has at most five digits, and fractions and
    signs are not allowed. Raises ValueError with what to write instead.
    """
    if not _DURATION.fullmatch(text):
        if re.fullmatch(r"[0-9]+", text):
            raise ValueError(f"{text!r} is a duration without a unit; write '{text}s' for seconds")
        raise ValueError(f"{text!r} is not a duration; write whole numbers with units, like '300s', '1m30s' or '500ms'")
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
