"""A decision as JSON shows it. ``docs/explain.md`` describes the fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from signalbox.director import Refusal, Ticket, Wait
from signalbox.director.wait import DISPATCHED
from signalbox.observability.candidates import Candidates, name_of
from signalbox.observability.decisions import Entry, Record, clipped
from signalbox.observability.reasons import reason_for
from signalbox.observability.trail import told_steps

MOST_ENDPOINTS = 64
"""Endpoints that a view of one decision lists for each profile."""

Wall = Callable[[float], float]
"""From seconds of the director's clock to seconds since the epoch."""


def decision_view(entry: Entry, wall: Wall, most: int = MOST_ENDPOINTS) -> dict[str, Any]:
    """Return everything that is known of a decision, ready for JSON; up to ``most`` endpoints in each profile."""
    if isinstance(entry, Refusal):
        return _refused(entry, wall)
    view = _routed(entry, wall)
    candidates = Candidates(entry)
    names = candidates.names
    view["steps"] = told_steps(entry.decision.steps, entry.rows, names)
    match = entry.match
    view["prefix"] = None if match is None else {"tokens": match.tokens, "block_size": match.block_size}
    view["profiles"] = candidates.profiles(most)
    view["scores_kept"] = entry.rows is not None
    return view


def decision_summary(entry: Entry, wall: Wall) -> dict[str, Any]:
    """Return the fields of :func:`decision_view` that say what was decided and how it ended, without the tables."""
    return _refused(entry, wall) if isinstance(entry, Refusal) else _routed(entry, wall)


def _routed(record: Record, wall: Wall) -> dict[str, Any]:
    ticket, decision = record.ticket, record.decision
    candidates = Candidates(record)
    names = candidates.names
    chosen = decision.rows[0]
    served = names(ticket.endpoint.row) if ticket.endpoint.row != chosen else None
    return {
        "outcome": "routed",
        "request_id": clipped(ticket.request_id),
        "time": timestamp(wall(ticket.received_at)),
        "model": clipped(ticket.model),
        "target": clipped(ticket.target),
        "rewrite": ticket.rewrite,
        "priority": ticket.priority,
        "objective": ticket.objective and clipped(ticket.objective),
        "stream": ticket.stream,
        "prompt_tokens": ticket.prompt_tokens_estimate,
        "candidates": record.candidates,
        "decision_us": round(record.seconds * 1e6, 1),
        "profile": decision.profile,
        "chosen": names(chosen),
        "address": candidates.address(chosen),
        "fallbacks": [names(row) for row in decision.rows[1:]],
        "stages": {stage: [names(row) for row in rows] for stage, rows in decision.stages.items()},
        "served_by": served,
        "prefix_tokens": candidates.prefix_tokens(chosen),
        "predicted": _predicted(ticket),
        "wait": _wait(ticket.wait),
        "why": reason_for(record, candidates),
        "end": _end(ticket),
    }


def _refused(refusal: Refusal, wall: Wall) -> dict[str, Any]:
    return {
        "outcome": "refused",
        "request_id": refusal.request_id,
        "time": timestamp(wall(refusal.at)),
        "model": refusal.model,
        "target": refusal.target,
        "priority": refusal.priority,
        "objective": refusal.objective,
        "candidates": refusal.candidates,
        "status": refusal.status,
        "code": refusal.code,
        "detector": refusal.detector or None,
        "saturation": None if refusal.saturation is None else round(refusal.saturation, 4),
        "wait": _wait(refusal.wait),
        "why": refusal.reason,
        "steps": told_steps(refusal.steps, refusal.rows, partial(name_of, refusal.endpoints)),
    }


def _predicted(ticket: Ticket) -> dict[str, float | None] | None:
    """What was expected of the choice, in seconds."""
    found = ticket.predicted
    if found is None:
        return None
    tpot = None if found.tpot is None else round(found.tpot, 6)
    return {"ttft_seconds": round(found.ttft, 6), "tpot_seconds": tpot}


def _wait(wait: Wait | None) -> dict[str, Any] | None:
    """How a request waited; ``None`` where it did not have to."""
    if wait is None or not (wait.queued or wait.outcome != DISPATCHED):
        return None
    return {
        "outcome": wait.outcome,
        "seconds": round(wait.seconds, 6),
        "band": wait.flow.priority,
        "fairness_id": clipped(wait.flow.fairness_id),
        "saturation": round(wait.saturation, 4),
        "ceiling": round(wait.ceiling, 4) if math.isfinite(wait.ceiling) else None,
        "ahead": wait.ahead,
    }


def _end(ticket: Ticket) -> dict[str, Any] | None:
    completion, finished = ticket.completion, ticket.finished_at
    if completion is None or finished is None:
        return None
    usage, first = completion.usage, ticket.first_byte_at
    return {
        "outcome": completion.outcome,
        "status": completion.status,
        "seconds": round(finished - ticket.received_at, 6),
        "ttft_seconds": None if first is None or not ticket.stream else round(first - ticket.received_at, 6),
        "prompt_tokens": None if usage is None else usage.prompt_tokens,
        "completion_tokens": None if usage is None else usage.completion_tokens,
        "cached_tokens": None if usage is None else usage.cached_tokens,
        "response_bytes": completion.response_bytes,
    }


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 with milliseconds, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
