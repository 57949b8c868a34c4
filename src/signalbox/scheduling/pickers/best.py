"""The best of a few candidates: by score, then by the fewest requests in flight, then by chance.

Plain loops where the candidates have the same score, as they have wherever filters alone decide: over a handful of
them, of which two or three are wanted, that takes less than sorting, and far less where this is compiled.
"""

from __future__ import annotations

import math
from random import Random
from struct import Struct
from typing import Final

from signalbox.pool import Columns, few

MOST: Final = 64
"""Candidates at most."""

_WANTED: Final = 4
"""Up to so many are looked for one by one."""

_NUMBERS: Final = [Struct(f"={count}I") for count in range(MOST + 1)]
"""How so many draws lie in bytes."""


def best_few(columns: Columns, rng: Random, rows: list[int], scores: list[float], limit: int) -> list[int]:
    """Return up to ``limit`` of ``rows``, of which there are at least two, best first."""
    count = len(rows)
    thrown = rng.getrandbits(32 * count)
    level = scores.count(scores[0]) == count
    if not level:
        first = sorted(scores, reverse=True)[: limit + 1]
        if len(set(first)) == len(first):
            return [rows[scores.index(score)] for score in first[:limit]]
    draws: tuple[int, ...] = _NUMBERS[count].unpack(thrown.to_bytes(4 * count, "little"))
    loads = few.requests_of_all(columns)
    if level and limit <= _WANTED:
        return _least(rows, loads, draws, min(limit, count))
    # Sorts keep the order of equals, so the last one counts most. Each by one number takes less than one by tuples.
    in_order = sorted(rows, key=dict(zip(rows, draws, strict=True)).__getitem__)
    in_order.sort(key=loads.__getitem__)
    in_order.sort(key=dict(zip(rows, scores, strict=True)).__getitem__, reverse=True)
    return in_order[:limit]


def _least(rows: list[int], loads: list[float], draws: tuple[int, ...], limit: int) -> list[int]:
    """Return ``limit`` of ``rows``, those with the fewest requests first, of equal ones those with the lowest draw.
    Uses ``loads`` up, the requests by row."""
    chosen: list[int] = []
    for _ in range(limit):
        best, least, drawn = 0, math.inf, -1
        for place, row in enumerate(rows):
            load = loads[row]
            if load < least or (load == least and draws[place] < drawn):
                best, least, drawn = row, load, draws[place]
        chosen.append(best)
        loads[best] = math.inf
    return chosen
