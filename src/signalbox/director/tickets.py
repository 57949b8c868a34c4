"""What a routed request costs its endpoints: the ticket that stands for it from its routing to its end."""

from __future__ import annotations

from typing import Final

from signalbox.director.arrival import Arrival
from signalbox.director.events import Ticket
from signalbox.director.prefixes import Lookup
from signalbox.director.rules import Rules
from signalbox.payloads import Request
from signalbox.pool import Charge, Endpoint, Pool, Resolution
from signalbox.scheduling import Decision

CHARS_PER_TOKEN: Final = 4
"""Characters of prompt text to a token, for estimates: English text averages about four."""

DEFAULT_ANSWER_TOKENS: Final = 128
"""Answer length assumed where the request sets no limit."""

LONGEST_ANSWER_TOKENS: Final = 65_536
"""Answer length assumed at most, so that one request that asks for a billion tokens does not close an endpoint."""


def prompt_length(request: Request) -> int:
    """Return the estimated length of a prompt in tokens, by its characters."""
    return request.prompt_chars // CHARS_PER_TOKEN


def open_ticket(
    pool: Pool,
    rules: Rules,
    arrival: Arrival,
    request: Request,
    resolution: Resolution,
    decision: Decision,
    lookup: Lookup | None,
    prompt_tokens: int,
    first: Endpoint,
    others: tuple[Endpoint, ...],
    now: float,
) -> Ticket:
    """Put a request on the accounts of its endpoints: ``first`` and, of ``decision``, those of other stages.

    ``others`` are its fallbacks; ``prompt_tokens`` is the length of its prompt, known or estimated.
    """
    answer_tokens = DEFAULT_ANSWER_TOKENS if request.max_tokens is None else request.max_tokens
    answer_tokens = min(answer_tokens, LONGEST_ANSWER_TOKENS)
    cached = 0.0
    ticket = Ticket(
        arrival.request_id,
        request.model,
        resolution.target,
        resolution.priority,
        first,
        others,
        now,
        len(request.body),
        request.stream,
        prompt_tokens,
        request.api,
        arrival.objective,
        arrival.slo_ttft,
        arrival.slo_tpot,
        resolution.rewrite,
    )
    stages = _stages(pool, decision) if decision.stages else ()
    prefix = rules.prefix
    if lookup is not None and prefix is not None:
        cached = lookup.cached_tokens(first)
        computing = (first, *[endpoint for endpoint, computes in stages if computes])
        remembered = [prefix.remember(lookup, endpoint) for endpoint in computing]
        ticket.tracker = prefix
        ticket.insertions = tuple([insertion for insertion in remembered if insertion is not None])
        ticket.cached_tokens = cached
        if others:
            ticket.lookup = lookup
    policy = rules.policy
    if policy is not None and policy.observes:
        ticket.policy = policy
        ticket.ahead = pool.columns.believed_at(pool.columns.prefill_tokens, first.row)
        ticket.decoding = pool.columns.believed_at(pool.columns.decoding, first.row)
    ticket.charge = pool.acquire(first, prompt_tokens - cached, answer_tokens, cached)
    if stages:
        ticket.stage_charges = tuple([
            _charge_stage(pool, endpoint, prompt_tokens if computes else 0.0, lookup) for endpoint, computes in stages
        ])  # fmt: skip
    return ticket


def _stages(pool: Pool, decision: Decision) -> list[tuple[Endpoint, bool]]:
    """The endpoints of the other stages, and whether each computes the prompt."""
    return [
        (pool.endpoint(row), stage not in decision.promptless)
        for stage, rows in decision.stages.items()
        for row in rows
    ]


def _charge_stage(pool: Pool, stage: Endpoint, prompt_tokens: float, lookup: Lookup | None) -> Charge:
    cached = 0.0 if lookup is None or not prompt_tokens else lookup.cached_tokens(stage)
    return pool.acquire(stage, prompt_tokens - cached, 0.0, cached)


def release_stages(pool: Pool, ticket: Ticket) -> None:
    """The prefill and encode servers have done their part."""
    for charge in ticket.stage_charges:
        pool.release(charge)
    ticket.stage_charges = ()


def keep_prompt(ticket: Ticket, outcome: str, status: int | None) -> None:
    """A request ended: its prompt stays in the index, unless it was refused or never answered and so not computed. One
    whose answer broke off was."""
    unanswered = outcome != "complete" and ticket.first_byte_at is None
    if ticket.tracker is not None and (unanswered or (status is not None and status >= 400)):
        for insertion in ticket.insertions:
            ticket.tracker.give_back(insertion)
    ticket.insertions = ()
