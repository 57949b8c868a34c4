"""One ext_proc stream: the conversation about one HTTP request.

Gateways differ in how they send bodies, and Envoy names its modes in the first message (``protocol_config``):

- ``FULL_DUPLEX_STREAMED``: headers and body chunks arrive without waiting. The headers are answered only once the
  body is complete, because the choice of an endpoint depends on the body; then the body is sent back in chunks.
- ``BUFFERED``: the headers must be answered first, then the whole body arrives in one message and its answer carries
  everything. If the picker dies, Envoy still holds the body, which is what makes fail-open possible.
- ``BUFFERED_PARTIAL``: the same, but a body larger than Envoy's buffer comes cut short, and is refused.
- ``STREAMED``: Envoy would send the headers upstream before the body is known, so the picker asks for
  ``BUFFERED_PARTIAL`` (``mode_override``).
- ``NONE``: no body will come; the request is routed by its headers alone.

A gateway that names no mode gets the default given by whoever built the exchange. Whatever ends the stream, the
director hears of it exactly once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import HttpBody, HttpHeaders, ProcessingRequest

from signalbox.director import Arrival, Director, Refused, Routed, Ticket
from signalbox.director.arrival import refuse
from signalbox.extproc import encoding
from signalbox.payloads import ResponseReader
from signalbox.scheduling.handlers import ENCODER_HEADER, PREFILLER_HEADER
from signalbox.wire import Call

log = logging.getLogger("signalbox.extproc")

OBJECTIVE = "x-gateway-inference-objective"
REWRITE = "x-gateway-model-name-rewrite"
FAIRNESS = "x-gateway-inference-fairness-id"
SLO_TTFT = "x-slo-ttft-ms"
SLO_TPOT = "x-slo-tpot-ms"
OWNED = frozenset({OBJECTIVE, REWRITE, FAIRNESS, PREFILLER_HEADER, ENCODER_HEADER})
"""Request headers that speak to the picker, or that only the picker may set: they are taken off what a client sends."""

_READ = OWNED | {SLO_TTFT, SLO_TPOT}
_READ_IN_REQUESTS = _READ | {":path", "x-request-id", "content-length"}
_READ_IN_ANSWERS = frozenset({":status", "content-type"})
_NO_HEADERS: Mapping[str, str] = {}

SUBSET_NAMESPACE = "envoy.lb.subset_hint"
SUBSET_KEY = "x-gateway-destination-endpoint-subset"
SERVED_KEY = "x-gateway-destination-endpoint-served"

_FULL_DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED
_BUFFERED = ProcessingMode.BUFFERED
_STREAMED = ProcessingMode.STREAMED
_NONE = ProcessingMode.NONE


def _text(value: bytes | str) -> str:
    """A header value: Envoy fills ``raw_value``, others ``value``."""
    return value if isinstance(value, str) else value.decode("latin-1")


def _seconds(milliseconds: str | None) -> float | None:
    """A latency objective in seconds; ``None`` where none was sent or it is no positive number."""
    try:
        value = float(milliseconds) / 1000 if milliseconds is not None else 0.0
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Terms:
    """What every exchange of a picker shares: modes where the gateway names none, and the body limit in bytes."""

    request_body_mode: int = _FULL_DUPLEX
    response_body_mode: int = _FULL_DUPLEX
    max_body: int = 32 * 1024 * 1024


class Exchange:
    """Receives one stream's messages and answers them through its :class:`~signalbox.wire.Call`."""

    __slots__ = (
        "_all_headers",
        "_answer_headers",
        "_body",
        "_body_size",
        "_call",
        "_clock",
        "_director",
        "_headers",
        "_path",
        "_reader",
        "_removed",
        "_request_id",
        "_request_mode",
        "_response_bytes",
        "_response_mode",
        "_settled",
        "_status",
        "_subset",
        "_terms",
        "_ticket",
    )

    def __init__(self, call: Call, director: Director, clock: Callable[[], float], terms: Terms) -> None:
        self._call = call
        self._director = director
        self._clock = clock
        self._terms = terms
        self._request_mode = -1
        self._response_mode = terms.response_body_mode
        self._headers: dict[str, str] = {}
        self._all_headers: dict[str, str] = {}
        self._answer_headers: Mapping[str, str] = _NO_HEADERS
        self._path = ""
        self._request_id = ""
        self._removed: list[str] = []
        self._subset: tuple[str, ...] | None = None
        self._body: list[bytes] = []
        self._body_size = 0
        self._settled = False
        self._ticket: Ticket | None = None
        self._status: int | None = None
        self._reader: ResponseReader | None = None
        self._response_bytes = 0

    # -- the stream ---------------------------------------------------------------------------------------------

    def message(self, data: bytes) -> None:
        """Handle one ``ProcessingRequest``; a malformed one ends the stream with INVALID_ARGUMENT."""
        try:
            request = ProcessingRequest.FromString(data)
        except Exception as error:
            log.warning("malformed ext_proc message", extra={"error": str(error), "bytes": len(data)})
            self._call.finish(3, "not a ProcessingRequest message")
            self._end("cancelled")
            return
        kind = request.WhichOneof("request")
        if self._request_mode < 0:
            self._learn_modes(request)
            if kind == "request_body":
                self._refuse_headless()
                return
        if request.HasField("metadata_context"):
            self._read_metadata(request)
        if kind == "request_headers":
            self._request_headers(request.request_headers)
        elif kind == "request_body":
            self._request_body(request.request_body)
        elif kind == "request_trailers":
            if not self._settled:
                self._decide(end_of_stream=False)
            self._call.send(encoding.CONTINUE_REQUEST_TRAILERS)
        elif kind == "response_headers":
            self._response_headers(request.response_headers)
        elif kind == "response_body":
            self._response_body(request.response_body)
        elif kind == "response_trailers":
            self._call.send(encoding.CONTINUE_RESPONSE_TRAILERS)
            self._complete()
        else:
            self._call.finish(3, "ProcessingRequest without a request")
            self._end("cancelled")

    def half_closed(self) -> None:
        """Envoy has nothing more to say: the exchange is over.

        Where the gateway sends no response bodies an orderly end is all that can be seen of a complete answer.
        """
        self._end("complete" if self._response_mode == _NONE else "cancelled")
        self._call.finish()

    def cancelled(self) -> None:
        """The stream was reset or the connection lost: the client, the gateway or the link is gone.

        Envoy also resets a stream that it has no more use for. Where it sends no response bodies that is right after
        the response headers, and all that can be seen of a complete answer.
        """
        answered = self._response_mode == _NONE and self._status is not None
        self._end("complete" if answered else "cancelled")

    def _end(self, outcome: str) -> None:
        ticket, self._ticket = self._ticket, None
        self._body = []
        if ticket is None:
            return
        usage = self._reader.finish() if self._reader is not None else None
        if outcome == "complete" and self._status is not None and self._status >= 500:
            outcome = "server_error"
        self._director.finish(
            ticket,
            self._clock(),
            outcome=outcome,
            status=self._status,
            response_bytes=self._response_bytes,
            usage=usage,
        )

    # -- the request --------------------------------------------------------------------------------------------

    def _learn_modes(self, first: ProcessingRequest) -> None:
        if first.HasField("protocol_config"):
            self._request_mode = first.protocol_config.request_body_mode
            self._response_mode = first.protocol_config.response_body_mode
        else:
            self._request_mode = self._terms.request_body_mode

    def _read_metadata(self, request: ProcessingRequest) -> None:
        spaces = request.metadata_context.filter_metadata
        if SUBSET_NAMESPACE in spaces:
            fields = spaces[SUBSET_NAMESPACE].fields
            if SUBSET_KEY in fields:
                value = fields[SUBSET_KEY]
                listed = (
                    [v.string_value for v in value.list_value.values]
                    if value.HasField("list_value")
                    else [value.string_value]
                )
                self._subset = tuple(hint.strip() for item in listed for hint in item.split(",") if hint.strip())
        if self._ticket is not None and encoding.METADATA_NAMESPACE in spaces:
            served = spaces[encoding.METADATA_NAMESPACE].fields
            if SERVED_KEY in served:
                self._director.served(self._ticket, served[SERVED_KEY].string_value)

    def _request_headers(self, message: HttpHeaders) -> None:
        everything = self._director.wants_headers
        values = {
            name: header.raw_value or header.value
            for header in message.headers.headers
            if (name := header.key.lower()) in _READ_IN_REQUESTS or everything
        }
        self._path = _text(values.get(":path", ""))
        self._request_id = _text(values.get("x-request-id", ""))
        for name in _READ & values.keys():
            self._headers[name] = _text(values[name])
            if name in OWNED:
                self._removed.append(name)
        length = _text(values.get("content-length", ""))
        if everything:
            self._all_headers = {name: _text(value) for name, value in values.items()}
        if message.end_of_stream or self._request_mode == _NONE:
            self._decide_without_body()
        elif length.isdecimal() and (len(length) > 15 or int(length) > self._terms.max_body):
            self._refuse_too_large()  # before the gateway collects a body that would break the message limit
        elif self._request_mode == _STREAMED:
            self._call.send(encoding.buffer_the_body(self._response_mode))
        elif self._request_mode != _FULL_DUPLEX:
            self._call.send(encoding.CONTINUE_REQUEST_HEADERS)

    def _request_body(self, message: HttpBody) -> None:
        if self._settled:
            if self._request_mode != _FULL_DUPLEX:
                self._call.send(encoding.CONTINUE_REQUEST_BODY)
            return
        self._body.append(message.body)
        self._body_size += len(message.body)
        if self._body_size > self._terms.max_body:
            self._refuse_too_large()
        elif message.end_of_stream:
            self._decide(end_of_stream=True)
        elif self._request_mode != _FULL_DUPLEX:
            # There is only one message with a body: either trailers follow, or the body is cut short.
            if self._request_mode == _BUFFERED or _is_json(message.body):
                self._decide(end_of_stream=False)
            else:
                self._refuse_part()

    def _refuse_too_large(self) -> None:
        self._body = []
        self._refuse(
            refuse(
                413,
                "BadRequest",
                f"the request body is larger than the {self._terms.max_body} bytes this gateway accepts",
                type="invalid_request_error",
                error_code="request_too_large",
            )
        )

    def _refuse_part(self) -> None:
        """Refuse a body of which the gateway holds only the beginning; the rest would pass by the picker."""
        self._refuse(
            refuse(
                413,
                "BadRequest",
                f"the gateway shows only the first {self._body_size} bytes of the request body to its picker: raise"
                " per_connection_buffer_limit_bytes, set request_body_mode FULL_DUPLEX_STREAMED, or, with STREAMED,"
                " allow_mode_override",
                type="invalid_request_error",
                error_code="request_too_large",
            )
        )

    def _refuse_headless(self) -> None:
        """Refuse a request whose headers the gateway did not show: it has sent them on, and with them the request."""
        self._refuse(
            refuse(
                500,
                "BadConfiguration",
                "the gateway does not show request headers to its picker, so that nothing can be routed:"
                " set request_header_mode SEND",
                type="server_error",
                error_code="gateway_misconfigured",
            )
        )

    def _arrival(self, body: bytes | None) -> Arrival:
        headers = self._headers
        return Arrival(
            self._path,
            body,
            self._request_id,
            headers.get(OBJECTIVE),
            headers.get(REWRITE),
            _seconds(headers.get(SLO_TTFT)),
            _seconds(headers.get(SLO_TPOT)),
            self._all_headers,
            self._subset,
        )

    def _decide_without_body(self) -> None:
        self._settled = True
        outcome = self._director.arrive(self._arrival(None), self._clock())
        if isinstance(outcome, Refused):
            self._refuse(outcome)
        else:
            self._call.send(encoding.route_in_headers(outcome.destination, None, self._removed))

    def _decide(self, *, end_of_stream: bool) -> None:
        self._settled = True
        original = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        outcome = self._director.arrive(self._arrival(original), self._clock())
        if isinstance(outcome, Refused):
            self._refuse(outcome)
            return
        self._ticket = outcome.ticket
        self._answer_headers = outcome.response_headers
        removed = [name for name in self._removed if name not in outcome.headers] if self._removed else self._removed
        self._log_routed(outcome)
        if self._request_mode != _FULL_DUPLEX:
            self._call.send(encoding.route_in_body(outcome.destination, outcome.body, removed, outcome.headers))
            return
        body = original if outcome.body is None else outcome.body
        self._call.send(encoding.route_in_headers(outcome.destination, len(body), removed, outcome.headers))
        for chunk in encoding.request_chunks(body, end_of_stream):
            self._call.send(chunk)

    def _refuse(self, refusal: Refused) -> None:
        self._settled = True
        headers = [("content-type", "application/json")]
        if refusal.retry_after is not None:
            headers.append(("retry-after", str(refusal.retry_after)))
        self._call.send(encoding.immediate(refusal.status, refusal.body, headers, refusal.code))
        self._call.finish()
        self._end("cancelled")  # a gateway that sends a request twice may have had the first one routed
        log.info(
            "refused",
            extra={
                "request_id": self._request_id,
                "path": self._path,
                "status": refusal.status,
                "code": refusal.code,
                "reason": refusal.message,
            },
        )

    def _log_routed(self, routed: Routed) -> None:
        if log.isEnabledFor(logging.DEBUG) and routed.ticket is not None:
            ticket = routed.ticket
            log.debug(
                "routed",
                extra={
                    "request_id": self._request_id,
                    "model": ticket.model,
                    "target": ticket.target,
                    "priority": ticket.priority,
                    "destination": routed.destination,
                    "steps": [f"{step.plugin} {step.before}->{step.after}" for step in ticket.steps],
                },
            )

    # -- the answer ---------------------------------------------------------------------------------------------

    def _response_headers(self, message: HttpHeaders) -> None:
        values = {
            name: header.raw_value or header.value
            for header in message.headers.headers
            if (name := header.key.lower()) in _READ_IN_ANSWERS
        }
        status = _text(values.get(":status", ""))
        self._status = int(status) if status.isdecimal() else None
        self._reader = ResponseReader(_text(values.get("content-type", "")))
        if self._answer_headers:
            self._call.send(encoding.answer_headers(self._answer_headers))
        else:
            self._call.send(encoding.CONTINUE_RESPONSE_HEADERS)
        if message.end_of_stream:
            self._complete()

    def _response_body(self, message: HttpBody) -> None:
        body = message.body
        if self._response_mode == _FULL_DUPLEX:
            for chunk in encoding.response_chunks(body, message.end_of_stream):
                self._call.send(chunk)
        else:
            self._call.send(encoding.CONTINUE_RESPONSE_BODY)
        self._response_bytes += len(body)
        if self._ticket is not None and body:
            self._director.first_byte(self._ticket, self._clock())
            if self._reader is not None:
                self._reader.feed(body)
        if message.end_of_stream:
            self._complete()

    def _complete(self) -> None:
        """The last message of the answer was answered: close the stream, or Envoy will reset it."""
        self._end("complete")
        self._call.finish()
