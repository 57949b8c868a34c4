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

A request may have to wait before there is an outcome. In every mode its exchange is suspended then: it costs memory,
which counts against the budget for bodies, and goes on where it stopped once the outcome is delivered. What the gateway
says meanwhile is answered after that, except that an answer to the client, which Envoy itself can give (a timeout of
its own), means that nobody needs an endpoint any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode

from signalbox.director import Director, Refused, Routed
from signalbox.extproc import encoding, headers, refusals
from signalbox.extproc.answer import Answer
from signalbox.extproc.bodies import HeldBody
from signalbox.extproc.decoding import PLAIN_TAIL, Wanted
from signalbox.extproc.headers import CONTENT_TYPE, READ_IN_REQUESTS, STATUS
from signalbox.extproc.logged import log, log_refused, log_routed
from signalbox.extproc.phases import Phases
from signalbox.extproc.suspended import Pending, Suspended
from signalbox.extproc.terms import FULL_DUPLEX, Terms
from signalbox.wire import Call

_BUFFERED: Final[int] = ProcessingMode.BUFFERED
_STREAMED: Final[int] = ProcessingMode.STREAMED
_NONE: Final[int] = ProcessingMode.NONE

_NO_VALUES: Final[headers.Values] = {}
_NO_HEADERS: Final[Mapping[str, str]] = {}


class Exchange(Phases):
    """Receives one stream's messages and answers them through its :class:`~signalbox.wire.Call`."""

    __slots__ = (
        "_answer",
        "_answer_headers",
        "_call",
        "_clock",
        "_director",
        "_everything",
        "_held",
        "_settled",
        "_subset",
        "_suspended",
        "_terms",
        "_values",
    )

    def __init__(self, call: Call, director: Director, clock: Callable[[], float], terms: Terms) -> None:
        super().__init__(terms.response_body_mode)
        self._call = call
        self._director = director
        self._clock = clock
        self._terms = terms
        self._values = _NO_VALUES
        self._subset: tuple[str, ...] | None = None
        self._everything = False
        """The director reads all headers of this request."""
        self._held: HeldBody | None = None
        self._settled = False
        self._suspended: Suspended | None = None
        self._answer: Answer | None = None
        self._answer_headers = _NO_HEADERS

    # -- the stream ---------------------------------------------------------------------------------------------

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
        self._abandon()
        if self._answer is not None:
            self._answer.end(complete=complete)

    # -- the request --------------------------------------------------------------------------------------------

    def _wanted_headers(self) -> Wanted | None:
        self._everything = everything = self._director.wants_headers
        return None if everything else READ_IN_REQUESTS

    def _default_request_mode(self) -> int:
        return self._terms.request_body_mode

    def _subset_hint(self, subset: tuple[str, ...]) -> None:
        self._subset = subset

    def _request_headers(self, values: headers.Values, end_of_stream: bool) -> None:
        self._values = values
        if end_of_stream or self._request_mode == _NONE:
            self._decide_without_body()
        elif headers.longer_than(values, self._terms.max_body):
            self._turn_away(refusals.too_large(self._terms.max_body))  # before the gateway collects it
        elif self._request_mode == _STREAMED:
            self._call.send(encoding.buffer_the_body(self._response_mode))
        elif self._request_mode != FULL_DUPLEX:
            self._call.send(encoding.CONTINUE_REQUEST_HEADERS)

    def _request_body(self, body: bytes, end_of_stream: bool) -> None:
        if self._settled:
            if self._request_mode != FULL_DUPLEX:
                self._send_in_turn(encoding.CONTINUE_REQUEST_BODY)
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
        elif self._request_mode == FULL_DUPLEX:
            if held is None:
                held = self._held = HeldBody(self._terms.bodies, self._no_room)
            held.add(body)
        # There is only one message with a body. Either trailers follow or the body is cut short, and nothing but its
        # announced length tells which: the beginning of a body may well be whole JSON.
        elif self._request_mode == _BUFFERED or headers.length_is(self._values, size):
            self._decide(body, end_of_stream=False)
        else:
            self._turn_away(refusals.in_part(size))

    def _request_trailers(self) -> None:
        if not self._settled:
            held, self._held = self._held, None
            self._decide(b"" if held is None else held.take(), end_of_stream=False)
        self._send_in_turn(encoding.CONTINUE_REQUEST_TRAILERS)

    def _headless(self) -> None:
        self._turn_away(refusals.headless())

    def _malformed(self, reason: str) -> None:
        self._call.finish(3, reason)
        self._end(complete=False)

    def _no_room(self) -> None:
        self._turn_away(refusals.no_room())

    def _send_in_turn(self, answer: bytes) -> None:
        """Send what must not come before the request's own answer."""
        if self._suspended is None:
            self._call.send(answer)
        elif not self._suspended.later(answer):
            self._malformed("too many messages behind a request that waits")

    def _decide_without_body(self) -> None:
        self._settled = True
        asked = headers.arrival(self._values, None, self._subset, self._everything)
        outcome = self._director.arrive(asked, self._clock())
        if isinstance(outcome, Routed):
            self._route_without_body(outcome)
        elif isinstance(outcome, Refused):
            self._refuse(outcome)
        else:
            self._suspend(outcome, None, end_of_stream=True)

    def _decide(self, original: bytes, *, end_of_stream: bool) -> None:
        self._settled = True
        asked = headers.arrival(self._values, original, self._subset, self._everything)
        outcome = self._director.arrive(asked, self._clock())
        if isinstance(outcome, Routed):
            self._route(outcome, original, end_of_stream)
        elif isinstance(outcome, Refused):
            self._refuse(outcome)
        else:
            self._suspend(outcome, original, end_of_stream)

    def _suspend(self, pending: Pending, original: bytes | None, end_of_stream: bool) -> None:
        suspended = self._suspended = Suspended(self._terms.room, pending, end_of_stream)
        suspended.enter(self._resume, original, self._terms.bodies, self._no_room)

    def _resume(self, outcome: Routed | Refused) -> None:
        """The room delivers what became of the request."""
        suspended, self._suspended = self._suspended, None
        assert suspended is not None
        original = suspended.resume()
        if isinstance(outcome, Refused):
            self._refuse(outcome)
            return
        if original is None:
            self._route_without_body(outcome)
        else:
            self._route(outcome, original, suspended.end_of_stream)
        for answer in suspended.late:
            self._call.send(answer)

    def _abandon(self) -> None:
        """Nobody needs an outcome any more."""
        suspended, self._suspended = self._suspended, None
        if suspended is not None:
            suspended.leave()

    def _route_without_body(self, outcome: Routed) -> None:
        self._call.send(encoding.route_in_headers(outcome.destination, None, headers.owned(self._values)))

    def _route(self, outcome: Routed, original: bytes, end_of_stream: bool) -> None:
        ticket = outcome.ticket
        if ticket is not None:
            terms = self._terms
            self._answer = Answer(self._director, ticket, self._clock, terms.bodies, terms.room)
            self._tails = (PLAIN_TAIL,)  # who served may have been named before there was anyone to hear it
            serving = ticket.serving
            if serving is not None:
                serving.owner = self._refuse
        self._answer_headers = outcome.response_headers
        extra = outcome.headers
        removed = headers.owned(self._values)
        if removed:
            removed = [name for name in removed if name not in extra]
        if log.isEnabledFor(logging.DEBUG):
            log_routed(outcome)
        call = self._call
        body = outcome.body
        if self._request_mode != FULL_DUPLEX:
            call.send(encoding.route_in_body(outcome.destination, body, removed, extra))
            return
        if body is None:
            body = original
        call.send(encoding.route_in_headers(outcome.destination, len(body), removed, extra))
        for chunk in encoding.request_chunks(body, end_of_stream):
            call.send(chunk)

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
        log_refused(self._values, refusal)

    # -- the answer ---------------------------------------------------------------------------------------------

    def _served(self, address: str) -> None:
        if self._answer is not None:
            changed = self._answer.served(address)
            if changed is not None:
                self._answer_headers = changed

    def _response_headers(self, values: headers.Values, end_of_stream: bool) -> None:
        if self._answer is not None:
            self._answer.head(values.get(STATUS, b""), values.get(CONTENT_TYPE, b""))
        else:
            self._abandon()
        if self._answer_headers:
            self._call.send(encoding.answer_headers(self._answer_headers))
        else:
            self._call.send(encoding.CONTINUE_RESPONSE_HEADERS)
        if end_of_stream:
            self._complete()

    def _response_body(self, body: bytes, end_of_stream: bool) -> None:
        if self._response_mode != FULL_DUPLEX:
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

    def _response_trailers(self) -> None:
        self._call.send(encoding.CONTINUE_RESPONSE_TRAILERS)
        self._complete()

    def _complete(self) -> None:
        """The last message of the answer was answered: close the stream, or Envoy will reset it."""
        self._end(complete=True)
        self._call.finish()
