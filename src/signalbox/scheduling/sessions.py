"""Which endpoint a session is bound to: the state behind session-affinity-scorer and session-affinity-filter."""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import model_validator

from signalbox.pool import Endpoint
from signalbox.resources.limits import entries
from signalbox.resources.strict import fault
from signalbox.scheduling.derived import rows_by
from signalbox.scheduling.framework import Cycle, Decision
from signalbox.scheduling.headers import HeaderName
from signalbox.scheduling.parameters import Positive
from signalbox.scheduling.plugin import Parameters

MAX_SESSIONS = 100_000
"""Sessions remembered at once; beyond them the longest unused is forgotten. About 20 MB."""


SESSION_PRODUCER = "session-id-producer"


class EncodedEndpointHeader(Parameters):
    """Where the token travels."""

    header: HeaderName = "x-session-token"
    """Request and answer header with the base64 of the endpoint's ``namespace/name``."""


class SessionSource(Parameters):
    """One place to find the session's name: a header, or what the gateway found out."""

    header: HeaderName | None = None
    attribute: Literal["session-id"] | None = None

    @model_validator(mode="after")
    def _one(self) -> SessionSource:
        if (self.header is None) == (self.attribute is None):
            raise fault("must have exactly one of header and attribute", "write 'header: x-session-id'")
        return self


class SessionID(Parameters):
    """How a session is named and how long it is remembered."""

    sources: Annotated[tuple[SessionSource, ...], entries(1, 16, "source")] = (SessionSource(header="x-session-id"),)
    """Tried in order; the first that is not empty counts."""
    eviction_ttl_seconds: Positive = 300.0
    """How long an unused session is remembered."""
    eviction_sweep_seconds: Positive = 10.0
    """How often unused sessions are looked for."""


class SessionAffinityParameters(Parameters):
    """Parameters of session-affinity-scorer and session-affinity-filter."""

    strategy: Literal["encoded_endpoint_header", "session_id"] = "encoded_endpoint_header"
    """Whether the client carries the endpoint in a header, or a name that is remembered here."""
    profile_name: str = ""
    """Bind to what this profile chose; empty for the primary one."""
    encoded_endpoint_header_config: EncodedEndpointHeader = EncodedEndpointHeader()
    """For encoded_endpoint_header."""
    session_id_config: SessionID = SessionID()
    """For session_id."""


def needed_producers(parameters: SessionAffinityParameters) -> tuple[str, ...]:
    """Return the types of plugins that such a plugin asks: where a source is what the gateway found out, who does."""
    named = parameters.strategy == "session_id"
    asks = named and any(source.attribute is not None for source in parameters.session_id_config.sources)
    return (SESSION_PRODUCER,) if asks else ()


class SessionBindings:
    """The sessions of one plugin. Endpoints are remembered as ``namespace/name``, since rows are handed on."""

    def __init__(self, parameters: SessionAffinityParameters) -> None:
        self._parameters = parameters
        self._encoded = parameters.strategy == "encoded_endpoint_header"
        self._header = parameters.encoded_endpoint_header_config.header.lower()
        self._rows = rows_by(_key)
        self._bound: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._swept = float("-inf")

    def row(self, cycle: Cycle) -> int | None:
        """Return the row of the endpoint this request's session is bound to, if there is one and it is ready."""
        if self._encoded:
            token = cycle.headers.get(self._header)
            key = None if not token else _decode(token)
        else:
            session = self._session(cycle)
            found = None if session is None else self._bound.get(session)
            fresh = (
                found is not None and cycle.now - found[1] <= self._parameters.session_id_config.eviction_ttl_seconds
            )
            key = found[0] if found is not None and fresh else None
        if key is None:
            return None
        rows = self._rows.of(cycle).get(key)
        return rows[0] if rows else None

    def routed(self, cycle: Cycle, decision: Decision) -> None:
        """Bind the session to what was chosen."""
        session = None if self._encoded else self._session(cycle)
        endpoint = self._chosen(cycle, decision)
        if session is None or endpoint is None:
            return
        self._bound[session] = (_key(endpoint), cycle.now)
        self._bound.move_to_end(session)
        self._sweep(cycle.now)

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> None:
        """Bind the session to the fallback that served it, unless another request has bound it anew."""
        session = None if self._encoded or not self._follows_primary(decision) else self._session(cycle)
        bound = None if session is None else self._bound.get(session)
        first, served = self._chosen(cycle, decision), cycle.endpoints.get(row)
        if session is None or bound is None or first is None or served is None or bound[0] != _key(first):
            return
        self._bound[session] = (_key(served), bound[1])

    def answer_headers(self, cycle: Cycle, decision: Decision) -> Mapping[str, str]:
        """Return the token for the client to send with its next request."""
        endpoint = self._chosen(cycle, decision) if self._encoded else None
        if endpoint is None:
            return {}
        return {self._header: base64.b64encode(_key(endpoint).encode()).decode()}

    def adopt(self, previous: SessionBindings) -> None:
        """Keep the sessions."""
        self._bound, self._swept = previous._bound, previous._swept

    def _session(self, cycle: Cycle) -> str | None:
        for source in self._parameters.session_id_config.sources:
            value = cycle.session if source.header is None else cycle.headers.get(source.header.lower())
            if value:
                return value
        return None

    def _chosen(self, cycle: Cycle, decision: Decision) -> Endpoint | None:
        if self._follows_primary(decision):
            rows = decision.rows
        else:
            rows = decision.stages.get(self._parameters.profile_name, ())
        return cycle.endpoints.get(rows[0]) if rows else None

    def _follows_primary(self, decision: Decision) -> bool:
        return self._parameters.profile_name in ("", decision.profile)

    def _sweep(self, now: float) -> None:
        if len(self._bound) > MAX_SESSIONS:
            self._bound.popitem(last=False)
        settings = self._parameters.session_id_config
        if now - self._swept < settings.eviction_sweep_seconds:
            return
        self._swept = now
        # Ordered by last use: the first one still in use ends the search.
        while self._bound and now - next(iter(self._bound.values()))[1] > settings.eviction_ttl_seconds:
            self._bound.popitem(last=False)


def _key(endpoint: Endpoint) -> str:
    return f"{endpoint.namespace}/{endpoint.name}"


def _decode(token: str) -> str | None:
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
