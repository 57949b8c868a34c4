"""What the picker refuses by itself, before the director is asked: bodies it cannot hold or see, wrong settings."""

from __future__ import annotations

from signalbox.director import Refused
from signalbox.director.arrival import refuse


def too_large(limit: int) -> Refused:
    """The body is larger than ``limit`` bytes."""
    return _too_large(f"the request body is larger than the {limit} bytes this gateway accepts")


def in_part(seen: int) -> Refused:
    """The gateway holds only the first ``seen`` bytes of the body; the rest would pass by the picker."""
    return _too_large(
        f"the gateway shows only the first {seen} bytes of the request body to its picker: raise"
        " per_connection_buffer_limit_bytes, set request_body_mode FULL_DUPLEX_STREAMED, or, with STREAMED,"
        " allow_mode_override"
    )


def no_room() -> Refused:
    """All unfinished and waiting bodies together are more than the picker may keep."""
    return refuse(
        503,
        "ServiceUnavailable",
        "the endpoint picker holds as many request bodies as it may: try again, or send a shorter body;"
        " operators raise --max-total-buffered-mib or run more pickers",
        type="server_error",
        error_code="bodies_exceed_memory",
        retry_after=1,
    )


def headless() -> Refused:
    """The gateway did not show the request's headers: it has sent them on, and with them the request."""
    return refuse(
        500,
        "BadConfiguration",
        "the gateway does not show request headers to its picker, so that nothing can be routed:"
        " set request_header_mode SEND",
        type="server_error",
        error_code="gateway_misconfigured",
    )


def _too_large(message: str) -> Refused:
    return refuse(413, "BadRequest", message, type="invalid_request_error", error_code="request_too_large")
