"""``session-id-producer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import model_validator

from signalbox.resources.limits import text
from signalbox.resources.strict import fault
from signalbox.scheduling.framework import Cycle
from signalbox.scheduling.headers import HeaderName
from signalbox.scheduling.parameters import Bounds, Duration, PositiveCount
from signalbox.scheduling.plugin import Parameters, ProducerPlugin

DEFAULT_HEADER = "x-session-id"
_BOUND = "session-affinity-scorer and session-affinity-filter remember themselves where a session is bound"


class SessionIDParameters(Parameters):
    """Parameters of session-id-producer."""

    ineffective: ClassVar[Mapping[str, str]] = {"lru_size": _BOUND, "ttl": _BOUND}

    header_name: HeaderName | None = None
    """The request header that holds the session's name; x-session-id where no cookie is named either."""
    cookie_name: Annotated[str, text(1, 128, r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+", "the name of a cookie")] | None = None
    """The cookie that holds it, in place of a header."""
    lru_size: PositiveCount = 1024
    """Bindings that the reference remembers; no effect, see maximum and evictionTtlSeconds of the affinity plugins."""
    ttl: Annotated[Duration, Bounds(above=0)] = 1800.0
    """How long the reference remembers one, 30 minutes (1800 s); no effect."""

    @model_validator(mode="after")
    def _one(self) -> SessionIDParameters:
        if self.header_name is not None and self.cookie_name is not None:
            raise fault("cannot be given beside headerName", "keep one of the two", "cookieName")
        return self


class SessionIDProducer(ProducerPlugin[SessionIDParameters]):
    """Which session a request belongs to, from a header or a cookie.

    A request without it belongs to none. The session affinity plugins read it where their sources name the attribute
    session-id. Source: session-id-producer of llm-d.
    """

    type = "session-id-producer"
    use = "Session affinity by a cookie, or by one header for several plugins."

    def __init__(self, parameters: SessionIDParameters | None = None, name: str = "") -> None:
        super().__init__(parameters, name)
        self._header = (self.parameters.header_name or DEFAULT_HEADER).lower()
        self._cookie = self.parameters.cookie_name

    def produce(self, cycle: Cycle) -> None:
        """Note the session's name, unless another producer has found one."""
        if cycle.session is not None:
            return
        if self._cookie is None:
            cycle.session = cycle.headers.get(self._header) or None
        else:
            cycle.session = _cookie(cycle.headers.get("cookie", ""), self._cookie)


def _cookie(header: str, name: str) -> str | None:
    """Return the first value of a cookie in a ``Cookie`` header (RFC 6265, section 4.2.1) that is not empty."""
    for pair in header.split(";"):
        key, equals, value = pair.strip().partition("=")
        if equals and key == name:
            found = value.strip().strip('"')
            if found:
                return found
    return None
