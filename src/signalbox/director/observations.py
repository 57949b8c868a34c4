"""What a policy that learns is told of the requests it routed."""

from __future__ import annotations

from signalbox.director.events import Completion, Ticket
from signalbox.scheduling.observation import Finished, FirstToken

EVENT_BYTES = 200
"""Bytes of one event of a streamed answer, which mostly brings one token, as OpenAI's servers and vLLM write it."""
TOKEN_BYTES = 4
"""Bytes of a token of an answer in one piece."""


def first_token(ticket: Ticket, now: float) -> FirstToken:
    """Describe a streamed answer that has begun at ``now``."""
    return FirstToken(
        ticket.endpoint,
        ticket.target,
        float(ticket.prompt_tokens_estimate),
        ticket.cached_tokens,
        ticket.ahead,
        ticket.decoding,
        now - ticket.routed_at,
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
        None if began is None else began - ticket.routed_at,
        now - ticket.routed_at,
        completion.outcome == "complete" and (status is None or status < 400),
        ticket.ahead,
        ticket.decoding,
        ticket.moved,
        ticket.slo_tpot,
    )


def service(ticket: Ticket, completion: Completion) -> tuple[int, int]:
    """Return the prompt and answer tokens that a request which has ended took of the servers.

    As the server counted them. A stream tells them only to clients that ask, and who does not ask must not be served
    for nothing: then the prompt's are the estimate, and the answer's are estimated by its bytes. Nothing for a request
    that was refused or never answered.
    """
    usage, status = completion.usage, completion.status
    if usage is not None:
        return usage.prompt_tokens, usage.completion_tokens
    if not completion.response_bytes or (status is not None and status >= 400):
        return 0, 0
    each = EVENT_BYTES if ticket.stream else TOKEN_BYTES
    return ticket.prompt_tokens_estimate, completion.response_bytes // each
