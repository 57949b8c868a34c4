"""A fallback served a request: what was booked to the first choice goes where the request went."""

from __future__ import annotations

from collections.abc import Mapping

from signalbox.director.events import Ticket
from signalbox.pool import Endpoint, Pool


def follow(pool: Pool, ticket: Ticket, endpoint: Endpoint) -> Mapping[str, str] | None:
    """Move a routed request to ``endpoint``, one of its fallbacks; return new headers for the answer, or ``None``.

    The first choice never computed the prompt, so its blocks are given back there and remembered here; what is left to
    compute is reckoned with what this endpoint held when the request was routed.
    """
    lookup = ticket.lookup
    ticket.endpoint, ticket.moved = endpoint, True
    ticket.cached_tokens = 0.0 if lookup is None else lookup.cached_tokens(endpoint)
    if ticket.charge is not None:
        pool.move(ticket.charge, endpoint, ticket.cached_tokens)
    if lookup is not None and ticket.tracker is not None and ticket.insertions:
        first, *stages = ticket.insertions
        moved = ticket.tracker.move(first, lookup, endpoint)
        ticket.insertions = tuple(stages) if moved is None else (moved, *stages)
    course = ticket.course
    return None if course is None else course.policy.moved(course.cycle, course.decision, endpoint.row)
