"""A gateway's side of one exchange, for tests that speak to it message by message."""

from __future__ import annotations

import json
import random
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from signalbox.director import Completion, Director, Ticket, guide_rules
from signalbox.extproc import Exchange, Terms
from signalbox.pool import Pool

FULL = ProcessingMode.FULL_DUPLEX_STREAMED
BUFFERED = ProcessingMode.BUFFERED
BUFFERED_PARTIAL = ProcessingMode.BUFFERED_PARTIAL
STREAMED = ProcessingMode.STREAMED
NONE = ProcessingMode.NONE


class FakeCall:
    """A gRPC call that remembers what was sent."""

    method = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
    metadata: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(self) -> None:
        self.sent: list[ext_proc.ProcessingResponse] = []
        self.status: int | None = None

    def send(self, message: bytes) -> None:
        assert self.status is None, "nothing may follow the end of a call"
        self.sent.append(ext_proc.ProcessingResponse.FromString(message))

    def finish(self, status: int = 0, message: str = "") -> None:
        self.status = status

    def take(self) -> list[ext_proc.ProcessingResponse]:
        taken, self.sent = self.sent, []
        return taken


class Completions:
    """Remembers how requests ended."""

    def __init__(self) -> None:
        self.ended: list[Completion] = []
        self.routes: list[Ticket] = []

    def refused(self, model: str, target: str, code: str, now: float) -> None:
        pass

    def routed(self, ticket: Ticket, decision_seconds: float) -> None:
        self.routes.append(ticket)

    def finished(self, ticket: Ticket, completion: Completion, now: float) -> None:
        self.ended.append(completion)


class Gateway:
    """Plays a gateway's side of one exchange."""

    def __init__(
        self, pool: Pool, request_mode: int = FULL, response_mode: int = FULL, *, announce: bool = True, **terms: Any
    ) -> None:
        self.pool = pool
        self.completions = Completions()
        director = Director(pool, guide_rules(), rng=random.Random(1), observer=self.completions)
        self.director = director
        self.call = FakeCall()
        self.exchange = Exchange(self.call, director, lambda: 1.0, Terms(**terms))
        self.phase_first = True
        """Whether messages begin with their phase, as Envoy writes them; if not, with all the rest."""
        self._config = (
            ext_proc.ProtocolConfiguration(request_body_mode=request_mode, response_body_mode=response_mode)
            if announce
            else None
        )

    def say(self, subset: list[str] | str | None = None, **message: Any) -> list[ext_proc.ProcessingResponse]:
        request = ext_proc.ProcessingRequest(**message)
        if self._config is not None:
            request.protocol_config.CopyFrom(self._config)
            self._config = None
        if subset is not None:
            request.metadata_context.filter_metadata["envoy.lb.subset_hint"].update(
                {"x-gateway-destination-endpoint-subset": subset}
            )
        self.exchange.message(request.SerializeToString() if self.phase_first else _phase_last(request))
        return self.call.take()

    def headers(
        self, end: bool = False, subset: list[str] | str | None = None, extra: dict[str, str] | None = None
    ) -> Any:
        return self.say(subset, request_headers=http_headers({":path": "/v1/completions", **(extra or {})}, end))

    def body(self, data: bytes, end: bool = True) -> Any:
        return self.say(request_body=ext_proc.HttpBody(body=data, end_of_stream=end))

    def answer_headers(self, status: str = "200", content_type: str = "application/json", end: bool = False) -> Any:
        return self.say(response_headers=http_headers({":status": status, "content-type": content_type}, end))

    def answer_body(self, data: bytes, end: bool = True) -> Any:
        return self.say(response_body=ext_proc.HttpBody(body=data, end_of_stream=end))


def _phase_last(request: ext_proc.ProcessingRequest) -> bytes:
    rest = ext_proc.ProcessingRequest()
    rest.CopyFrom(request)
    rest.ClearField(request.WhichOneof("request") or "")
    behind: bytes = rest.SerializeToString()
    whole: bytes = request.SerializeToString()
    assert not behind or whole.endswith(behind)
    return behind + whole.removesuffix(behind) if behind else b"\x42\x00" + whole


def http_headers(values: dict[str, str], end: bool) -> ext_proc.HttpHeaders:
    entries = [base_pb2.HeaderValue(key=key, raw_value=value.encode()) for key, value in values.items()]
    return ext_proc.HttpHeaders(headers=base_pb2.HeaderMap(headers=entries), end_of_stream=end)


def mutated(common: ext_proc.CommonResponse) -> dict[str, str]:
    return {option.header.key: option.header.raw_value.decode() for option in common.header_mutation.set_headers}


def in_metadata(response: ext_proc.ProcessingResponse) -> str:
    return str(response.dynamic_metadata["envoy.lb"]["x-gateway-destination-endpoint"])


def request_body(model: str, prompt: str = "test") -> bytes:
    """As Go marshals it: keys sorted, no blanks; Content-Length figures of the reference hold."""
    return json.dumps(
        {"max_tokens": 100, "model": model, "prompt": prompt, "temperature": 0}, separators=(",", ":")
    ).encode()
