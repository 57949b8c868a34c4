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


def _named(pool: Pool) -> str:
    return f"InferencePool {pool.namespace}/{pool.name}"
