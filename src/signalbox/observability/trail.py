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


def profiles_of(steps: Sequence[Step]) -> list[str | None]:
    """Return the profile that each step belongs to; ``None`` for what came before all of them, or broke off."""
    names: list[str | None] = [None] * len(steps)
    for index, step in enumerate(steps):
        if step.ends is not None:
            names[step.begun : index + 1] = [step.ends] * (index + 1 - step.begun)
    return names


def told_steps(steps: Sequence[Step], candidates: Rows | None, name: Callable[[int], str]) -> list[dict[str, Any]]:
    """Return the steps ready for JSON, with the first `MOST_DROPPED` names each left out."""
    return [
        {
            "profile": profile,
            "plugin": step.plugin,
            "before": step.before,
            "after": step.after,
            "dropped": [name(row) for row in rows[:MOST_DROPPED]],
            "dropped_more": max(0, len(rows) - MOST_DROPPED),
            "fault": step.fault or None,
        }
        for profile, (step, rows) in zip(profiles_of(steps), dropped(steps, candidates), strict=True)
    ]


def dropped_by(steps: Sequence[Step], candidates: Rows | None, profile: str | None = None) -> dict[int, str]:
    """Return by row which filter left it out first, of ``profile`` and what came before it where one is given. A filter
    that left nobody had no effect, and where a profile began again only what came behind counts."""
    found: dict[int, str] = {}
    for owner, (step, rows) in zip(profiles_of(steps), dropped(steps, candidates), strict=True):
        if profile is not None and owner not in (None, profile):
            continue
        if step.after > step.before:
            found = {}
        elif step.after:
            for row in rows:
                found.setdefault(row, step.plugin)
    return found
