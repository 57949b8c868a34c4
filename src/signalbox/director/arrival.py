"""What comes in to the director and what it answers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from signalbox.director.events import Ticket
from signalbox.director.tokens import Tokens
from signalbox.payloads import error_body
from signalbox.scheduling import Step


class Arrival(msgspec.Struct, frozen=True):
    """One request as a proxy hands it over, complete with its body."""

    path: str
    body: bytes | None
    """``None`` for a request without a body, such as ``GET /v1/models``."""
    request_id: str = ""
    objective: str | None = None
    """Value of ``x-gateway-inference-objective``."""
    rewrite: str | None = None
    """Value of ``x-gateway-model-name-rewrite``."""
    slo_ttft: float | None = None
    """``x-slo-ttft-ms`` in seconds."""
    slo_tpot: float | None = None
    """``x-slo-tpot-ms`` in seconds."""
    headers: Mapping[str, str] = {}
    """All headers, names in lower case; only where the director :attr:`~Director.wants_headers`."""
    subset: tuple[str, ...] | None = None
    """The endpoints the proxy allows (``ip:port`` or ``ip``); ``None`` where it says nothing."""
    fairness_id: str = ""
    """``x-llm-d-inference-fairness-id``: who is to have a fair share where requests wait."""
    tokens: Tokens | None = None
    """The token ids of its prompt, where somebody told them."""


class Routed(msgspec.Struct, frozen=True):
    """Where the request goes: ``destination`` is a comma list of ``ip:port``, best first."""

    destination: str
    body: bytes | None
    """The body to send on, or ``None`` to leave it as it came."""
    ticket: Ticket | None
    """``None`` for requests without a body: they are not counted."""
    headers: Mapping[str, str] = {}
    """Further headers to set on the request."""
    response_headers: Mapping[str, str] = {}
    """Headers to set on the answer."""
    steps: tuple[Step, ...] = ()
    """What the scheduling profile did."""


class Refused(msgspec.Struct, frozen=True):
    """Why the request goes nowhere. ``code`` is the reference's error code; ``body`` is OpenAI-style JSON."""

    status: int
    code: str
    message: str
    body: bytes
    retry_after: int | None = None
    dropped: str = ""
    """Why a request was dropped that nothing was wrong with, in llm-d's terms (``x-llm-d-request-dropped-reason``)."""


def refuse(
    status: int,
    code: str,
    message: str,
    *,
    type: str,
    error_code: str,
    param: str | None = None,
    retry_after: int | None = None,
    dropped: str = "",
) -> Refused:
    """Build a refusal whose body names the reason as OpenAI's clients expect it."""
    body = error_body(message, type=type, code=error_code, param=param)
    return Refused(status, code, message, body, retry_after, dropped)
