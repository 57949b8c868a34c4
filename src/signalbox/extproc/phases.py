"""The messages of one ext_proc stream, read: which phase each is, and what it says beside it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest
from google.protobuf.message import DecodeError

from signalbox.extproc import headers
from signalbox.extproc.decoding import (
    PLAIN_TAIL,
    REQUEST_BODY,
    REQUEST_HEADERS,
    RESPONSE_BODY,
    RESPONSE_HEADERS,
    Tail,
    Wanted,
    find_body,
    find_headers,
    read_tail,
    tail_of,
)
from signalbox.extproc.headers import READ_IN_ANSWERS

log = logging.getLogger("signalbox.extproc")


class Phases(ABC):
    """Calls a method of its own for each phase; `Exchange` fills them in.

    Most messages are read in their bytes, what is unusual about the others by protobuf: which of the two it was makes
    no difference to what is called, except that protobuf refuses header names and values that are not UTF-8 where the
    bytes are read without a look at those that nobody wants.
    """

    __slots__ = ("_request_mode", "_response_mode", "_tails")

    def __init__(self, response_mode: int) -> None:
        self._request_mode = -1
        """How the gateway sends request bodies; -1 before the first message."""
        self._response_mode = response_mode
        self._tails: tuple[bytes, ...] = (PLAIN_TAIL,)
        """What need not be read again beside the usual tail: those of the last two messages that said more. Envoy
        writes one and the same metadata in either order."""

    def message(self, data: bytes) -> None:
        """Handle one ``ProcessingRequest``; a malformed one ends the stream with INVALID_ARGUMENT."""
        kind = data[0] if data else 0
        begun = self._request_mode >= 0
        if kind in (RESPONSE_BODY, REQUEST_BODY):
            piece = find_body(data)
            if piece is not None and begun:
                start, stop, end, last = piece
                tail = data[end:]
                if tail == PLAIN_TAIL or tail in self._tails or self._take_tail(tail):
                    if kind == RESPONSE_BODY:
                        self._response_body(data[start:stop], last)
                    else:
                        self._request_body(data[start:stop], last)
                    return
        elif kind == RESPONSE_HEADERS:
            found = find_headers(data, READ_IN_ANSWERS)
            if found is not None:
                values, end, last = found
                tail = data[end:]
                if (begun and (tail == PLAIN_TAIL or tail in self._tails)) or self._take_tail(tail):
                    self._response_headers(values, last)
                    return
        elif kind == REQUEST_HEADERS:
            found = find_headers(data, self._wanted_headers())
            if found is not None and self._take_tail(data[found[1] :]):
                self._request_headers(found[0], found[2])
                return
        self._unusual(data)

    def _unusual(self, data: bytes) -> None:
        """Handle a message whose fields are not where they always are."""
        try:
            request = ProcessingRequest.FromString(data)
        except DecodeError as error:
            log.warning("malformed ext_proc message", extra={"error": str(error), "bytes": len(data)})
            self._malformed("not a ProcessingRequest message")
            return
        kind = request.WhichOneof("request")
        if kind == "request_body" and self._request_mode < 0:
            self._take(tail_of(request))
            self._headless()
            return
        self._take(tail_of(request))
        if kind == "request_headers":
            head = request.request_headers
            self._request_headers(headers.values_of(head, self._wanted_headers()), head.end_of_stream)
        elif kind == "request_body":
            self._request_body(request.request_body.body, request.request_body.end_of_stream)
        elif kind == "request_trailers":
            self._request_trailers()
        elif kind == "response_headers":
            head = request.response_headers
            self._response_headers(headers.values_of(head, READ_IN_ANSWERS), head.end_of_stream)
        elif kind == "response_body":
            self._response_body(request.response_body.body, request.response_body.end_of_stream)
        elif kind == "response_trailers":
            self._response_trailers()
        else:
            self._malformed("ProcessingRequest without a request")

    def _take_tail(self, data: bytes) -> bool:
        """Read what follows the phase; False if it is not what may follow there."""
        tail = read_tail(data)
        if tail is None:
            return False
        self._tails = (PLAIN_TAIL, self._tails[-1], data)
        self._take(tail)
        return True

    def _take(self, tail: Tail) -> None:
        if self._request_mode < 0:
            if tail.modes is None:
                self._request_mode = self._default_request_mode()
            else:
                self._request_mode, self._response_mode = tail.modes
        if tail.subset is not None:
            self._subset_hint(tail.subset)
        if tail.served is not None:
            self._served(tail.served)

    # -- what an exchange does about it -------------------------------------------------------------------------

    @abstractmethod
    def _wanted_headers(self) -> Wanted | None:
        """Which request headers to read; ``None`` for all."""

    @abstractmethod
    def _default_request_mode(self) -> int:
        """How a gateway sends request bodies that does not say."""

    @abstractmethod
    def _subset_hint(self, subset: tuple[str, ...]) -> None:
        """The gateway allows these endpoints only."""

    @abstractmethod
    def _served(self, address: str) -> None:
        """This endpoint took the request."""

    @abstractmethod
    def _request_headers(self, values: headers.Values, end_of_stream: bool) -> None:
        """The request's headers; with ``end_of_stream`` it has no body."""

    @abstractmethod
    def _request_body(self, body: bytes, end_of_stream: bool) -> None:
        """A piece of the request's body."""

    @abstractmethod
    def _request_trailers(self) -> None:
        """The request's trailers."""

    @abstractmethod
    def _headless(self) -> None:
        """The first message is a piece of a body: the gateway does not show headers."""

    @abstractmethod
    def _response_headers(self, values: headers.Values, end_of_stream: bool) -> None:
        """The answer's headers."""

    @abstractmethod
    def _response_body(self, body: bytes, end_of_stream: bool) -> None:
        """A piece of the answer's body."""

    @abstractmethod
    def _response_trailers(self) -> None:
        """The answer's trailers."""

    @abstractmethod
    def _malformed(self, reason: str) -> None:
        """A message that is none; ``reason`` is for the gateway."""
