"""What a policy that learns is told of the requests it routed."""

from __future__ import annotations

from signalbox.director.events import Completion, Ticket
from signalbox.scheduling.observation import Finished, FirstToken


def first_token(ticket: Ticket, now: float) -> FirstToken:
    """Describe a streamed answer that has begun at ``now``."""
    return FirstToken(
        ticket.endpoint,
        ticket.target,
        float(ticket.prompt_tokens_estimate),
        ticket.cached_tokens,
        ticket.ahead,
        ticket.decoding,
        now - ticket.received_at,
    )


def finished(ticket: Ticket, completion: Completion, now: float) -> Finished:
    """Describe a request that ended at ``now``."""
    usage, status = completion.usage, completion.status
    prompt_tokens = ticket.prompt_tokens_estimate if usage is None or not usage.prompt_tokens else usage.prompt_tokens
    began = ticket.first_byte_at if ticket.stream else None
    return Finished(
        ticket.endpoint,
        ticket.target,
        float(prompt_tokens),
        None if usage is None or usage.cached_tokens is None else float(usage.cached_tokens),
        None if usage is None else float(usage.completion_tokens),
        None if began is None else began - ticket.received_at,
        now - ticket.received_at,
        completion.outcome == "complete" and (status is None or status < 400),
    )
