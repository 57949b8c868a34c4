"""The refusals a director gives, each with the reason and what can be done."""

from __future__ import annotations

from signalbox.admission import Shed
from signalbox.director.arrival import Arrival, Refused, refuse
from signalbox.payloads import PayloadError
from signalbox.pool import Pool

_LISTED_NAMES = 50


def bad_request(error: PayloadError) -> Refused:
    """The body cannot be understood."""
    return refuse(
        error.status,
        "BadRequest",
        error.message,
        type="invalid_request_error",
        error_code="invalid_request",
        param=error.param,
    )


def unknown_model(pool: Pool, model: str) -> Refused:
    """The pool does not serve the model; says which ones it does."""
    names = pool.catalogue.names
    known = ", ".join(names[:_LISTED_NAMES]) + (
        f" and {len(names) - _LISTED_NAMES} more" if len(names) > _LISTED_NAMES else ""
    )
    message = f"The model `{model}` does not exist. Known models: {known}"
    return refuse(
        404, "BadConfiguration", message, type="invalid_request_error", error_code="model_not_found", param="model"
    )


def nobody(pool: Pool, arrival: Arrival) -> Refused:
    """There is no endpoint to choose from."""
    name = _named(pool)
    if pool.spec is None:
        reason = f"{name} is not known to its endpoint picker; create it or correct the picker's pool name"
    elif arrival.subset is not None and pool.endpoints:
        reason = f"none of the endpoints the proxy allows is a ready endpoint of {name}"
    else:
        reason = f"{name} has no ready endpoint; see that its pods run, match its selector and are Ready"
    return refuse(
        503,
        "ServiceUnavailable",
        reason,
        type="server_error",
        error_code="no_ready_endpoint",
        dropped="rejected-no-endpoints",
    )


def exhausted(pool: Pool, shed: Shed | None) -> Refused:
    """The request was shed, or a policy's filters left nobody."""
    return refuse(
        429,
        "InferencePoolResourceExhausted",
        f"no endpoint of {_named(pool)} passes the scheduling filters" if shed is None else shed.reason,
        type="rate_limit_error",
        error_code="overloaded",
        retry_after=1 if shed is None else shed.retry_after,
        dropped="" if shed is None else "rejected-saturated",
    )


def cannot_wait(pool: Pool, why: str) -> Refused:
    """There is no room in the queues; ``why`` has the figures."""
    if not pool.endpoints:
        return _no_endpoints(pool, f"{_named(pool)} has no ready endpoint, and {why}")
    return refuse(
        429,
        "InferencePoolResourceExhausted",
        f"{_named(pool)} is at its limit, and {why}: try again later; operators raise the limits of flowControl in the"
        " picker's configuration, or add endpoints",
        type="rate_limit_error",
        error_code="queue_full",
        retry_after=1,
        dropped="rejected-saturated",
    )


def waited_too_long(pool: Pool, seconds: float) -> Refused:
    """The time of a request that waited has run out."""
    if not pool.endpoints:
        return _no_endpoints(pool, f"{_named(pool)} had no ready endpoint for the {seconds:.3g} s this request waited")
    return refuse(
        429,
        "InferencePoolResourceExhausted",
        f"{_named(pool)} had no room for this request in the {seconds:.3g} s it waited: try again later; operators"
        " raise defaultRequestTTL of flowControl in the picker's configuration, or add endpoints",
        type="rate_limit_error",
        error_code="queue_timeout",
        retry_after=1,
        dropped="rejected-ttl-expired",
    )


def taken_back(pool: Pool, priority: int, above: int) -> Refused:
    """A request is taken back from its server, since one of priority ``above`` waits for room."""
    return refuse(
        429,
        "InferencePoolResourceExhausted",
        f"this request of priority {priority} was taken back from its server: {_named(pool)} is at its limit, and"
        f" requests of priority {above} wait; try again later",
        type="rate_limit_error",
        error_code="evicted",
        retry_after=1,
        dropped="evicted-priority",
    )


def client_left(pool: Pool, seconds: float) -> Refused:
    """Nobody hears it: for the records."""
    return refuse(
        503,
        "ClientClosedRequest",
        f"the client left after it had waited {seconds:.3g} s for room in {_named(pool)}",
        type="server_error",
        error_code="client_left",
        dropped="rejected-context-cancelled",
    )


def shutting_down(pool: Pool) -> Refused:
    """The picker stops before the request's turn."""
    return refuse(
        503,
        "ServiceUnavailable",
        f"the endpoint picker of {_named(pool)} shuts down: try again, and another one will take the request",
        type="server_error",
        error_code="shutting_down",
        retry_after=1,
        dropped="rejected-shutting-down",
    )


def own_fault(pool: Pool) -> Refused:
    """Deciding about the request failed, by a fault of the picker or of a plugin; the log has it."""
    return refuse(
        500,
        "Internal",
        f"the endpoint picker of {_named(pool)} failed to decide about this request: its log says how; try again",
        type="server_error",
        error_code="internal_error",
    )


def _no_endpoints(pool: Pool, why: str) -> Refused:
    return refuse(
        503,
        "ServiceUnavailable",
        f"{why}; see that its pods run, match its selector and are Ready",
        type="server_error",
        error_code="no_ready_endpoint",
        retry_after=1,
        dropped="rejected-no-endpoints",
    )


def _named(pool: Pool) -> str:
    return f"InferencePool {pool.namespace}/{pool.name}"
