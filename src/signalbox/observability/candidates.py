"""The endpoints of one decision as they stood when it was made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from signalbox.observability.decisions import OURS, REPORTED, Record, Standing
from signalbox.observability.trail import dropped_by
from signalbox.pool import Columns, Endpoint, Floats, Rows
from signalbox.scheduling import Ranking


class Candidates:
    """Reads one record; everything is computed when asked."""

    def __init__(self, record: Record) -> None:
        self._record = record
        columns = _columns(record.standing)
        rows = np.arange(columns.size)
        self._inflight = columns.inflight
        self._queue = columns.queue(rows)
        self._kv = columns.kv(rows)

    def names(self, row: int) -> str:
        """The name of the endpoint that had ``row``."""
        return name_of(self._record.endpoints, row)

    def address(self, row: int) -> str | None:
        """Its ``ip:port``."""
        endpoint = self._record.endpoints.get(row)
        return None if endpoint is None else endpoint.address

    def prefix_tokens(self, row: int) -> int | None:
        """Tokens of the prompt it was believed to hold; ``None`` where nobody looked that up."""
        match = self._record.match
        if match is None or row >= len(match.blocks):
            return None
        return min(int(match.blocks[row]) * match.block_size, match.tokens)

    def in_flight(self, row: int) -> int | None:
        """Requests of ours on their way to it."""
        value = _at(self._inflight, row)
        return None if value is None else int(value)

    def profiles(self, most: int) -> list[dict[str, Any]]:
        """One table for each profile that ran, the one that chose the destination first; up to ``most`` rows each."""
        record = self._record
        if record.rows is None:
            return []
        decision = record.decision
        chosen = {decision.profile: decision.rows, **decision.stages}
        rankings = {ranking.profile: ranking for ranking in decision.scores}
        return [self._profile(name, rows, rankings.get(name), most) for name, rows in chosen.items()]

    def _profile(self, name: str, chosen: tuple[int, ...], ranking: Ranking | None, most: int) -> dict[str, Any]:
        record = self._record
        assert record.rows is not None
        scored = {} if ranking is None else {int(row): index for index, row in enumerate(ranking.rows)}
        places = {row: place for place, row in enumerate(chosen)}
        gone = dropped_by(record.decision.steps, record.rows, name)

        def order(row: int) -> tuple[float, float, int]:
            total = -math.inf if ranking is None or row not in scored else float(ranking.totals[scored[row]])
            return (places.get(row, len(places)), -total, row)

        rows = sorted(record.rows.tolist(), key=order)
        listed = []
        for row in rows[:most]:
            index = scored.get(row)
            parts = {} if ranking is None or index is None else _weighted(ranking, index)
            listed.append(
                {
                    "name": self.names(row),
                    "queue": _plain(_at(self._queue, row)),
                    "in_flight": self.in_flight(row),
                    "kv_usage": _plain(_at(self._kv, row)),
                    "prefix_tokens": self.prefix_tokens(row),
                    "scores": parts,
                    "total": None if ranking is None or index is None else _plain(float(ranking.totals[index])),
                    "place": places.get(row),
                    "dropped_by": None if index is not None or row in chosen[:1] else gone.get(row),
                }
            )
        return {
            "profile": name,
            "scorers": [] if ranking is None else [_scorer(part) for part in ranking.parts],
            "endpoints": listed,
            "endpoints_more": max(0, len(rows) - most),
        }


def name_of(endpoints: Mapping[int, Endpoint], row: int) -> str:
    """The name of the endpoint that has ``row`` among ``endpoints``."""
    endpoint = endpoints.get(row)
    return f"row {row}" if endpoint is None else endpoint.name


def _weighted(ranking: Ranking, index: int) -> dict[str, float | None]:
    return {name: _plain(weight * float(scores[index])) for name, weight, scores in ranking.parts}


def _scorer(part: tuple[str, float, Floats]) -> dict[str, Any]:
    return {"name": part[0], "weight": part[1]}


def _columns(standing: Standing) -> Columns:
    """The pool's columns as far as they were kept, so that estimates are the ones the plugins read."""
    columns = Columns()
    columns.size = 0
    for names, kept in ((REPORTED, standing.reported), (OURS, standing.ours)):
        for name, data in zip(names, kept or [b""] * len(names), strict=True):
            column: Floats = np.frombuffer(data, np.float64)
            columns.size = len(column)
            setattr(columns, name, column)
    return columns


def _at(values: Floats, row: int) -> float | None:
    return float(values[row]) if row < len(values) else None


def _plain(value: float | None) -> float | None:
    # JSON has no infinity and no NaN, which a plugin may well return.
    return round(value, 4) if value is not None and math.isfinite(value) else None


def position(rows: Rows, row: int) -> int | None:
    """Where ``row`` stands in ``rows``."""
    found = np.flatnonzero(rows == row)
    return int(found[0]) if len(found) else None
