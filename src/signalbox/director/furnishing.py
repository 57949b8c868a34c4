"""What a cycle is furnished with before plugins see it."""

from __future__ import annotations

from signalbox.director.arrival import Arrival
from signalbox.director.precise import PreciseTracker
from signalbox.director.prefixes import Lookup
from signalbox.director.rules import Rules
from signalbox.director.tickets import prompt_length
from signalbox.payloads import Request, holds_media, media_items
from signalbox.pool import Pool, Rows
from signalbox.pool.listings import able
from signalbox.scheduling import Cycle, Step

LISTS_MODEL = "lists-model"
"""The step that leaves out endpoints whose server does not list the model. It comes before every policy."""


def furnish(pool: Pool, rules: Rules, cycle: Cycle, arrival: Arrival, request: Request, now: float) -> Lookup | None:
    """Give configured plugins what they may look at."""
    cycle.endpoints = pool.by_row
    cycle.headers = arrival.headers
    cycle.now = now
    cycle.slo_ttft, cycle.slo_tpot = arrival.slo_ttft, arrival.slo_tpot
    policy = rules.policy
    if policy is None or policy.reads_media:
        cycle.multimodal = holds_media(request)
    if policy is not None and policy.reads_media_items:
        cycle.media = media_items(request)
    prefix = rules.prefix
    if prefix is None:
        cycle.prompt_tokens = prompt_length(request)
        return None
    if isinstance(prefix, PreciseTracker):
        lookup = prefix.look_up_tokens(request, cycle.target, arrival.tokens, now)
    else:
        lookup = prefix.look_up(request, cycle.target)
    cycle.prefix = lookup.match
    cycle.prompt_tokens = lookup.blocks.tokens
    return lookup


def who_has_the_model(cycle: Cycle, rows: Rows) -> Rows:
    """Leave out the endpoints whose server does not list the model."""
    kept = able(cycle.columns, cycle.target, rows)
    if len(kept) < len(rows):
        cycle.steps.append(Step(LISTS_MODEL, len(rows), len(kept), kept))
    return kept
