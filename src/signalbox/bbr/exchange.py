"""One ext_proc stream of body-based routing: a request's body is read, headers are set, the stream ends.

The body modes are those of :mod:`signalbox.extproc.exchange`: whatever the mode, the headers go on only when the body
has been read, and the gateway is told to choose its route again. The answer of a model server is of no interest, so
the stream is closed with the last answer about the request; gateways go on without it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    BodyResponse,
    CommonResponse,
    HeadersResponse,
    HttpBody,
    HttpHeaders,
    ProcessingRequest,
    ProcessingResponse,
)

from signalbox.bbr.base_models import BaseModels
from signalbox.bbr.metrics import RouterMetrics
from signalbox.bbr.model_name import read_model
from signalbox.extproc import PROCESS, encoding
from signalbox.payloads import PayloadError, error_body
from signalbox.wire import Accept, Call

log = logging.getLogger("signalbox.bbr")

MODEL_HEADER = "X-Gateway-Model-Name"
BASE_MODEL_HEADER = "X-Gateway-Base-Model-Name"

_FULL_DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED
_BUFFERED = ProcessingMode.BUFFERED
_STREAMED = ProcessingMode.STREAMED
_NONE = ProcessingMode.NONE


@dataclass(frozen=True, slots=True)
class BodyTerms:
    """What every stream shares: the mode of gateways that name none, and the body limit in bytes."""

    body_mode: int = _BUFFERED
    max_body: int = 32 * 1024 * 1024


def router_routes(
    models: Callable[[], BaseModels],
    metrics: RouterMetrics,
    stopwatch: Callable[[], float],
    terms: BodyTerms | None = None,
) -> Mapping[str, Accept]:
    """Return the gRPC methods of body-based routing: one, ``Process``. ``stopwatch`` returns seconds."""
    shared = terms or BodyTerms()

    def accept(call: Call) -> BodyExchange:
        return BodyExchange(call, models, metrics, stopwatch, shared)

    return {PROCESS: accept}


class BodyExchange:
    """Receives one stream's messages and answers them through its :class:`~signalbox.wire.Call`."""

    __slots__ = ("_body", "_call", "_json", "_metrics", "_mode", "_models", "_size", "_stopwatch", "_terms")

    def __init__(
        self,
        call: Call,
        models: Callable[[], BaseModels],
        metrics: RouterMetrics,
        stopwatch: Callable[[], float],
        terms: BodyTerms,
    ) -> None:
        self._call = call
        self._models = models
        self._metrics = metrics
        self._stopwatch = stopwatch
        self._terms = terms
        self._mode = -1
        self._json = True
        self._body: list[bytes] = []
        self._size = 0

    def message(self, data: bytes) -> None:
        """Handle one ``ProcessingRequest``; a malformed one ends the stream with INVALID_ARGUMENT."""
        try:
            request = ProcessingRequest.FromString(data)
        except Exception as error:
            log.warning("malformed ext_proc message", extra={"error": str(error), "bytes": len(data)})
            self._call.finish(3, "not a ProcessingRequest message")
            return
        kind = request.WhichOneof("request")
        if self._mode < 0:
            named = request.HasField("protocol_config")
            self._mode = request.protocol_config.request_body_mode if named else self._terms.body_mode
            if kind == "request_body":
                self._refuse(500, "the gateway does not show request headers: set request_header_mode SEND", None)
                return
        if kind == "request_headers":
            self._headers(request.request_headers)
        elif kind == "request_body":
            self._part(request.request_body)
        elif kind == "request_trailers":
            self._decide(end_of_stream=False)
            self._call.send(encoding.CONTINUE_REQUEST_TRAILERS)
            self._call.finish()
        elif kind is None:
            self._call.finish(3, "ProcessingRequest without a request")
        else:
            # A gateway that shows answers only, or began before this process did.
            self._call.finish()

    def half_closed(self) -> None:
        """The gateway has nothing more to say."""
        self._call.finish()

    def cancelled(self) -> None:
        """The client or the gateway is gone."""
        self._body = []

    def _headers(self, message: HttpHeaders) -> None:
        values = {header.key.lower(): header.raw_value or header.value.encode() for header in message.headers.headers}
        kind = values.get("content-type", b"").lower()
        self._json = not kind or b"json" in kind
        length = values.get("content-length", b"")
        if message.end_of_stream or self._mode == _NONE:
            self._call.send(encoding.CONTINUE_REQUEST_HEADERS)
            self._call.finish()
        elif length.isdigit() and (len(length) > 15 or int(length) > self._terms.max_body):
            self._refuse_too_large()
        elif self._mode == _STREAMED:
            self._call.send(encoding.buffer_the_body(_NONE))
        elif self._mode != _FULL_DUPLEX:
            self._call.send(encoding.CONTINUE_REQUEST_HEADERS)

    def _part(self, message: HttpBody) -> None:
        self._body.append(message.body)
        self._size += len(message.body)
        if self._size > self._terms.max_body:
            self._refuse_too_large()
        elif message.end_of_stream or self._mode != _FULL_DUPLEX:
            self._decide(message.end_of_stream)
            self._call.finish()

    def _decide(self, end_of_stream: bool) -> None:
        """Answer a body that is complete."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = []
        began = self._stopwatch()
        try:
            changes = self._changes(body)
        except PayloadError as error:
            self._metrics.broken()
            if self._json and not end_of_stream and self._mode not in (_FULL_DUPLEX, _BUFFERED):
                self._refuse(413, f"the gateway shows only the first {len(body)} bytes of the body", None)
                return
            if self._json or error.param is not None:
                self._refuse(error.status, error.message, error.param)
                return
            changes = {}  # an upload, a form: not ours to judge
        finally:
            self._metrics.took(self._stopwatch() - began)
        if self._mode == _FULL_DUPLEX:
            self._call.send(headers_answer({**changes, "content-length": str(len(body))}, bool(changes)))
            for chunk in encoding.request_chunks(body, end_of_stream):
                self._call.send(chunk)
        else:
            self._call.send(body_answer(changes) if changes else encoding.CONTINUE_REQUEST_BODY)

    def _changes(self, body: bytes) -> dict[str, str | None]:
        """The headers to set; those to take off are ``None``."""
        model = read_model(body) if body else None
        if not model:
            (self._metrics.missing if model is None else self._metrics.empty)()
            return {}
        self._metrics.lifted()
        return {MODEL_HEADER: model, BASE_MODEL_HEADER: self._models().of(model)}

    def _refuse_too_large(self) -> None:
        self._body = []
        self._refuse(
            413, f"the request body is larger than the {self._terms.max_body} bytes this gateway accepts", None
        )

    def _refuse(self, status: int, message: str, param: str | None) -> None:
        code = {400: "invalid_body", 413: "request_too_large", 500: "gateway_misconfigured"}[status]
        body = error_body(message, "server_error" if status >= 500 else "invalid_request_error", code, param)
        self._call.send(encoding.immediate(status, body, [("content-type", "application/json")], code))
        self._call.finish()
        log.info("refused", extra={"status": status, "reason": message})


def headers_answer(changes: Mapping[str, str | None], choose_again: bool) -> bytes:
    """Answer the request headers, with the route to be chosen again or not."""
    common = _common(changes)
    common.clear_route_cache = choose_again
    return bytes(ProcessingResponse(request_headers=HeadersResponse(response=common)).SerializeToString())


def body_answer(changes: Mapping[str, str | None]) -> bytes:
    """Answer a buffered body, which stays as it is, and have the route chosen again."""
    common = _common(changes)
    common.clear_route_cache = True
    return bytes(ProcessingResponse(request_body=BodyResponse(response=common)).SerializeToString())


def _common(changes: Mapping[str, str | None]) -> CommonResponse:
    common = CommonResponse()
    for name, value in changes.items():
        if value is None:
            common.header_mutation.remove_headers.append(name)
        else:
            header = HeaderValue(key=name, raw_value=value.encode())
            overwrite = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
            common.header_mutation.set_headers.add(header=header, append_action=overwrite)
    return common
