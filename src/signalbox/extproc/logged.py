"""What a picker logs of single requests."""

from __future__ import annotations

import logging

from signalbox.director import Refused, Routed
from signalbox.extproc import headers

log = logging.getLogger("signalbox.extproc")


def log_refused(values: headers.Values, refusal: Refused) -> None:
    """Say which request got no endpoint, and why."""
    log.info(
        "refused",
        extra={
            "request_id": values.get(headers.REQUEST_ID, b"").decode("latin-1"),
            "path": values.get(headers.PATH, b"").decode("latin-1"),
            "status": refusal.status,
            "code": refusal.code,
            "reason": refusal.message,
        },
    )


def log_routed(routed: Routed) -> None:
    """Say where a request went. Costs something: ask first whether anybody listens at ``DEBUG``."""
    ticket = routed.ticket
    if ticket is None:
        return
    log.debug(
        "routed",
        extra={
            "request_id": ticket.request_id,
            "model": ticket.model,
            "target": ticket.target,
            "priority": ticket.priority,
            "destination": routed.destination,
            "steps": [f"{step.plugin} {step.before}->{step.after}" for step in routed.steps],
        },
    )
