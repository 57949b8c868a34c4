"""Which filter left out whom, reconstructed from the rows each of them left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from signalbox.pool import Rows
from signalbox.scheduling import Step

MOST_DROPPED = 16
"""Names listed for one step."""


def dropped(steps: Sequence[Step], candidates: Rows | None) -> Iterator[tuple[Step, list[int]]]:
    """Yield each step with the rows it left out.

    Steps come in the order they happened, but not each works on what the one before left: a branch of a decision tree
    that fails hands its rows on untouched, the tree itself is a step over all of its branches, and every profile of a
    disaggregated request begins anew. So what a filter was given is the latest set of that size that holds all it left.
    """
    known = [] if candidates is None else [candidates]
    for step in steps:
        kept = step.rows
        given = None if kept is None else _given(known, step.before, kept)
        if kept is None or given is None:
            yield step, []
            continue
        yield step, given[~np.isin(given, kept)].tolist()
        if len(kept):
            known.append(kept)


def _given(known: Sequence[Rows], before: int, kept: Rows) -> Rows | None:
    for rows in reversed(known):
        if len(rows) == before and bool(np.isin(kept, rows).all()):
            return rows
    return None


def told_steps(steps: Sequence[Step], candidates: Rows | None, name: Callable[[int], str]) -> list[dict[str, Any]]:
    """Return the steps ready for JSON, with the first `MOST_DROPPED` names each left out."""
    return [
        {
            "plugin": step.plugin,
            "before": step.before,
            "after": step.after,
            "dropped": [name(row) for row in rows[:MOST_DROPPED]],
            "dropped_more": max(0, len(rows) - MOST_DROPPED),
            "fault": step.fault or None,
        }
        for step, rows in dropped(steps, candidates)
    ]


def dropped_by(steps: Sequence[Step], candidates: Rows | None) -> dict[int, str]:
    """Return by row which filter left it out first; a filter that left nobody had no effect."""
    found: dict[int, str] = {}
    for step, rows in dropped(steps, candidates):
        if step.after:
            for row in rows:
                found.setdefault(row, step.plugin)
    return found
