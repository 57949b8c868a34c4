"""What a routed request costs its endpoints: the ticket that stands for it from its routing to its end."""

from __future__ import annotations

from signalbox.director.arrival import Arrival
from signalbox.director.events import Ticket
from signalbox.director.prefixes import Lookup
from signalbox.director.rules import Rules
from signalbox.payloads import Request
from signalbox.pool import Charge, Endpoint, Pool, Resolution
from signalbox.scheduling import Decision
from signalbox.scheduling.prefix import Insertion

CHARS_PER_TOKEN = 4
"""Characters of prompt text to a token, for estimates: English text averages about four."""

DEFAULT_ANSWER_TOKENS = 128
"""Answer length assumed where the request sets no limit."""

LONGEST_ANSWER_TOKENS = 65_536
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
    named: int | None,
    now: float,
) -> Ticket:
    """Put a request on the accounts of its endpoints, of which at most ``named`` are told to the proxy.

    ``prompt_tokens`` is the length of its prompt, known or estimated.
    """
    prefix = rules.prefix
    endpoints = [pool.endpoint(row) for row in decision.rows[:named]]
    answer_tokens = DEFAULT_ANSWER_TOKENS if request.max_tokens is None else request.max_tokens
    answer_tokens = min(answer_tokens, LONGEST_ANSWER_TOKENS)
    cached = 0.0
    stages = [pool.endpoint(rows[0]) for rows in decision.stages.values() if rows]
    insertions: list[Insertion] = []
    if lookup is not None and prefix is not None:
        cached = lookup.cached_tokens(endpoints[0])
        remembered = [prefix.remember(lookup, endpoint) for endpoint in (endpoints[0], *stages)]
        insertions = [insertion for insertion in remembered if insertion is not None]
    ticket = Ticket(
        request_id=arrival.request_id,
        model=request.model,
        target=resolution.target,
        priority=resolution.priority,
        endpoint=endpoints[0],
        fallbacks=tuple(endpoints[1:]),
        received_at=now,
        request_bytes=len(request.body),
        stream=request.stream,
        prompt_tokens_estimate=prompt_tokens,
        rewrite=resolution.rewrite,
        slo_ttft=arrival.slo_ttft,
        slo_tpot=arrival.slo_tpot,
        objective=arrival.objective,
        api=request.api,
        tracker=prefix,
        insertions=tuple(insertions),
        cached_tokens=cached,
    )
    policy = rules.policy
    if policy is not None and policy.observes:
        row = endpoints[0].row
        ticket.policy = policy
        ticket.ahead = pool.columns.believed_at(pool.columns.prefill_tokens, row)
        ticket.decoding = pool.columns.believed_at(pool.columns.decoding, row)
    ticket.charge = pool.acquire(endpoints[0], prompt_tokens - cached, answer_tokens, cached)
    if stages:
        ticket.stage_charges = tuple([_charge_stage(pool, stage, prompt_tokens, lookup) for stage in stages])
    return ticket


def _charge_stage(pool: Pool, stage: Endpoint, prompt_tokens: int, lookup: Lookup | None) -> Charge:
    cached = 0.0 if lookup is None else lookup.cached_tokens(stage)
    return pool.acquire(stage, prompt_tokens - cached, 0.0, cached)
