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
from dataclasses import dataclass, field

import msgspec
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest
from google.protobuf.message import DecodeError

from signalbox.director import Director, Refused, Routed
from signalbox.extproc import encoding, headers, refusals
from signalbox.extproc.answer import Answer
from signalbox.extproc.bodies import BodyBudget, HeldBody
from signalbox.extproc.decoding import (
    PLAIN_TAIL,
    REQUEST_BODY,
    REQUEST_HEADERS,
    RESPONSE_BODY,
    RESPONSE_HEADERS,
    Tail,
    find_body,
    find_headers,
    read_tail,
    tail_of,
)
from signalbox.wire import Call

log = logging.getLogger("signalbox.extproc")

_FULL_DUPLEX: int = ProcessingMode.FULL_DUPLEX_STREAMED
_BUFFERED: int = ProcessingMode.BUFFERED
_STREAMED: int = ProcessingMode.STREAMED
_NONE: int = ProcessingMode.NONE

_BODIES = (RESPONSE_BODY, REQUEST_BODY)

_NO_VALUES: headers.Values = {}
_NO_HEADERS: Mapping[str, str] = {}


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Terms:
    """What every exchange of a picker shares: modes where the gateway names none, the body limit in bytes, and the
    budget for bodies that are not complete yet."""

    request_body_mode: int = _FULL_DUPLEX
    response_body_mode: int = _FULL_DUPLEX
    max_body: int = 32 * 1024 * 1024
    bodies: BodyBudget = field(default_factory=BodyBudget)


class Exchange:
    """Receives one stream's messages and answers them through its :class:`~signalbox.wire.Call`."""

    __slots__ = (
        "_answer",
        "_answer_headers",
        "_call",
        "_clock",
        "_director",
        "_held",
        "_request_mode",
        "_response_mode",
        "_settled",
        "_subset",
        "_tail",
        "_terms",
        "_values",
    )

    def __init__(self, call: Call, director: Director, clock: Callable[[], float], terms: Terms) -> None:
        self._call = call
        self._director = director
        self._clock = clock
        self._terms = terms
        self._request_mode = -1
        self._response_mode = terms.response_body_mode
        self._tail = b""
        self._values = _NO_VALUES
        self._subset: tuple[str, ...] | None = None
        self._held: HeldBody | None = None
        self._settled = False
        self._answer: Answer | None = None
        self._answer_headers = _NO_HEADERS

    # -- the stream ---------------------------------------------------------------------------------------------

    def message(self, data: bytes) -> None:
        """Handle one ``ProcessingRequest``; a malformed one ends the stream with INVALID_ARGUMENT."""
        kind = data[0] if data else 0
        begun = self._request_mode >= 0
        if kind in _BODIES:
            piece = find_body(data)
            if piece is not None and begun:
                start, stop, end, last = piece
                tail = data[end:]
                if tail in (PLAIN_TAIL, self._tail) or self._take_tail(tail):
                    if kind == RESPONSE_BODY:
                        self._response_body(data[start:stop], last)
                    else:
                        self._request_body(data[start:stop], last)
                    return
        elif kind == RESPONSE_HEADERS:
            found = find_headers(data, headers.READ_IN_ANSWERS)
            if found is not None:
                values, end, last = found
                tail = data[end:]
                if (begun and tail in (PLAIN_TAIL, self._tail)) or self._take_tail(tail):
                    self._response_headers(values, last)
                    return
        elif kind == REQUEST_HEADERS:
            found = find_headers(data, None if self._director.wants_headers else headers.READ_IN_REQUESTS)
            if found is not None and self._take_tail(data[found[1] :]):
                self._request_headers(found[0], found[2])
                return
        self._unusual(data)

    def oversized(self, size: int) -> None:
        """A message of ``size`` bytes is on its way, more than the transport takes: it can only be a body."""
        if self._request_mode >= 0 and not self._settled:
            self._turn_away(refusals.too_large(self._terms.max_body))

    def half_closed(self) -> None:
        """Envoy has nothing more to say: the exchange is over.

        Where the gateway sends no response bodies an orderly end is all that can be seen of a complete answer.
        """
        self._end(complete=self._response_mode == _NONE)
        self._call.finish()

    def cancelled(self) -> None:
        """The stream was reset or the connection lost: the client, the gateway or the link is gone.

        Envoy also resets a stream that it has no more use for. Where it sends no response bodies that is at the end of
        the answer, complete or not, and all that can be seen of it.
        """
        answer = self._answer
        self._end(complete=self._response_mode == _NONE and answer is not None and answer.status is not None)

    def _end(self, *, complete: bool) -> None:
        if self._held is not None:
            self._held.drop()
            self._held = None
        if self._answer is not None:
            self._answer.end(complete=complete)

    # -- what messages say --------------------------------------------------------------------------------------

    def _unusual(self, data: bytes) -> None:
        """Handle a message whose fields are not where they always are."""
        try:
            request = ProcessingRequest.FromString(data)
        except DecodeError as error:
            log.warning("malformed ext_proc message", extra={"error": str(error), "bytes": len(data)})
            self._give_up("not a ProcessingRequest message")
            return
        kind = request.WhichOneof("request")
        if kind == "request_body" and self._request_mode < 0:
            self._take(tail_of(request))
            self._turn_away(refusals.headless())
            return
        self._take(tail_of(request))
        if kind == "request_headers":
            head = request.request_headers
            wanted = None if self._director.wants_headers else headers.READ_IN_REQUESTS
            self._request_headers(headers.values_of(head, wanted), head.end_of_stream)
        elif kind == "request_body":
            self._request_body(request.request_body.body, request.request_body.end_of_stream)
        elif kind == "request_trailers":
            if not self._settled:
                self._decide(b"" if self._held is None else self._held.take(), end_of_stream=False)
            self._call.send(encoding.CONTINUE_REQUEST_TRAILERS)
        elif kind == "response_headers":
            head = request.response_headers
            self._response_headers(headers.values_of(head, headers.READ_IN_ANSWERS), head.end_of_stream)
        elif kind == "response_body":
            self._response_body(request.response_body.body, request.response_body.end_of_stream)
        elif kind == "response_trailers":
            self._call.send(encoding.CONTINUE_RESPONSE_TRAILERS)
            self._complete()
        else:
            self._give_up("ProcessingRequest without a request")

    def _give_up(self, reason: str) -> None:
        self._call.finish(3, reason)
        self._end(complete=False)

    def _take_tail(self, data: bytes) -> bool:
        """Read what follows the phase; False if it is not what may follow there."""
        tail = read_tail(data)
        if tail is None:
            return False
        self._tail = data
        self._take(tail)
        return True

    def _take(self, tail: Tail) -> None:
        if self._request_mode < 0:
            if tail.modes is None:
                self._request_mode = self._terms.request_body_mode
            else:
                self._request_mode, self._response_mode = tail.modes
        if tail.subset is not None:
            self._subset = tail.subset
        if tail.served is not None and self._answer is not None:
            self._answer.served(tail.served)

    # -- the request --------------------------------------------------------------------------------------------

    def _request_headers(self, values: headers.Values, end_of_stream: bool) -> None:
        self._values = values
        if end_of_stream or self._request_mode == _NONE:
            self._decide_without_body()
        elif headers.longer_than(values, self._terms.max_body):
            self._turn_away(refusals.too_large(self._terms.max_body))  # before the gateway collects it
        elif self._request_mode == _STREAMED:
            self._call.send(encoding.buffer_the_body(self._response_mode))
        elif self._request_mode != _FULL_DUPLEX:
            self._call.send(encoding.CONTINUE_REQUEST_HEADERS)

    def _request_body(self, body: bytes, end_of_stream: bool) -> None:
        if self._settled:
            if self._request_mode != _FULL_DUPLEX:
                self._call.send(encoding.CONTINUE_REQUEST_BODY)
            return
        held = self._held
        size = len(body) + (0 if held is None else held.size)
        if size > self._terms.max_body:
            self._turn_away(refusals.too_large(self._terms.max_body))
        elif end_of_stream:
            if held is not None:
                self._held = None
                body = held.take(body)
            self._decide(body, end_of_stream=True)
        elif self._request_mode == _FULL_DUPLEX:
            if held is None:
                held = self._held = HeldBody(self._terms.bodies, self._no_room)
            held.add(body)
        # There is only one message with a body: either trailers follow, or the body is cut short.
        elif self._request_mode == _BUFFERED or _is_json(body):
            self._decide(body, end_of_stream=False)
        else:
            self._turn_away(refusals.in_part(size))

    def _no_room(self) -> None:
        self._turn_away(refusals.no_room())

    def _decide_without_body(self) -> None:
        self._settled = True
        asked = headers.arrival(self._values, None, self._subset, self._director.wants_headers)
        outcome = self._director.arrive(asked, self._clock())
        if isinstance(outcome, Refused):
            self._refuse(outcome)
        else:
            removed = headers.owned(self._values)
            self._call.send(encoding.route_in_headers(outcome.destination, None, removed))

    def _decide(self, original: bytes, *, end_of_stream: bool) -> None:
        self._settled = True
        director = self._director
        asked = headers.arrival(self._values, original, self._subset, director.wants_headers)
        outcome = director.arrive(asked, self._clock())
        if isinstance(outcome, Refused):
            self._refuse(outcome)
            return
        if outcome.ticket is not None:
            self._answer = Answer(director, outcome.ticket, self._clock)
            self._tail = b""  # who served may have been named before there was anyone to hear it
        self._answer_headers = outcome.response_headers
        removed = headers.owned(self._values)
        if removed:
            removed = [name for name in removed if name not in outcome.headers]
        if log.isEnabledFor(logging.DEBUG):
            self._log_routed(outcome)
        send = self._call.send
        if self._request_mode != _FULL_DUPLEX:
            send(encoding.route_in_body(outcome.destination, outcome.body, removed, outcome.headers))
            return
        body = original if outcome.body is None else outcome.body
        send(encoding.route_in_headers(outcome.destination, len(body), removed, outcome.headers))
        for chunk in encoding.request_chunks(body, end_of_stream):
            send(chunk)

    def _turn_away(self, refusal: Refused) -> None:
        """Refuse what the director was never asked about."""
        asked = headers.arrival(self._values, None, self._subset, everything=False)
        self._refuse(self._director.turn_away(asked, refusal, self._clock()))

    def _refuse(self, refusal: Refused) -> None:
        self._settled = True
        answer = [("content-type", "application/json")]
        if refusal.retry_after is not None:
            answer.append(("retry-after", str(refusal.retry_after)))
        if refusal.dropped:
            answer.append((headers.DROPPED, refusal.dropped))
        self._call.send(encoding.immediate(refusal.status, refusal.body, answer, refusal.code))
        self._call.finish()
        self._end(complete=False)  # a gateway that sends a request twice may have had the first one routed
        log.info(
            "refused",
            extra={
                "request_id": self._values.get(headers.REQUEST_ID, b"").decode("latin-1"),
                "path": self._values.get(headers.PATH, b"").decode("latin-1"),
                "status": refusal.status,
                "code": refusal.code,
                "reason": refusal.message,
            },
        )

    def _log_routed(self, routed: Routed) -> None:
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

    # -- the answer ---------------------------------------------------------------------------------------------

    def _response_headers(self, values: headers.Values, end_of_stream: bool) -> None:
        if self._answer is not None:
            self._answer.head(values.get(headers.STATUS, b""), values.get(headers.CONTENT_TYPE, b""))
        if self._answer_headers:
            self._call.send(encoding.answer_headers(self._answer_headers))
        else:
            self._call.send(encoding.CONTINUE_RESPONSE_HEADERS)
        if end_of_stream:
            self._complete()

    def _response_body(self, body: bytes, end_of_stream: bool) -> None:
        if self._response_mode != _FULL_DUPLEX:
            self._call.send(encoding.CONTINUE_RESPONSE_BODY)
        elif len(body) <= encoding.MAX_CHUNK:
            self._call.send(encoding.response_chunk(body, end_of_stream))
        else:
            for chunk in encoding.response_chunks(body, end_of_stream):
                self._call.send(chunk)
        if self._answer is not None:
            self._answer.piece(body)
        if end_of_stream:
            self._complete()

    def _complete(self) -> None:
        """The last message of the answer was answered: close the stream, or Envoy will reset it."""
        self._end(complete=True)
        self._call.finish()
