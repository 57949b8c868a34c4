"""What a bare ext_proc server says: the same destination and model for everybody, in whatever modes Envoy speaks.

The bare servers differ in their transport only; this is the rest of them, over Envoy's own message types.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import msgspec
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    BodyMutation,
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    ProcessingRequest,
    ProcessingResponse,
    StreamedBodyResponse,
    TrailersResponse,
)

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
DESTINATION = "x-gateway-destination-endpoint"
TARGET = "food-review-1"

_FULL_DUPLEX = ProcessingMode.FULL_DUPLEX_STREAMED


class Conversation:
    """One stream: takes a message, gives the answers to it."""

    __slots__ = ("_body", "_destinations", "_duplex", "_duplex_answer", "_started", "over")

    def __init__(self, destinations: Iterator[str]) -> None:
        self._destinations = destinations
        self._body: list[bytes] = []
        self._started = False
        self._duplex = False
        self._duplex_answer = False
        self.over = False
        """True once the last message of the answer was answered: the server may end the stream."""

    def answers(self, request: ProcessingRequest) -> list[ProcessingResponse]:
        """Return what to send for ``request``, in order."""
        if not self._started:
            self._started = True
            self._duplex = request.protocol_config.request_body_mode == _FULL_DUPLEX
            self._duplex_answer = request.protocol_config.response_body_mode == _FULL_DUPLEX
        kind = request.WhichOneof("request")
        if kind == "request_headers":
            return [] if self._duplex else [ProcessingResponse(request_headers=HeadersResponse())]
        if kind == "request_body":
            self._body.append(request.request_body.body)
            return self._route() if request.request_body.end_of_stream else []
        if kind == "response_headers":
            self.over = request.response_headers.end_of_stream
            return [ProcessingResponse(response_headers=HeadersResponse())]
        if kind == "response_body":
            body = request.response_body
            self.over = body.end_of_stream
            common = CommonResponse()
            if self._duplex_answer:
                streamed = StreamedBodyResponse(body=body.body, end_of_stream=body.end_of_stream)
                common.body_mutation.CopyFrom(BodyMutation(streamed_response=streamed))
            return [ProcessingResponse(response_body=BodyResponse(response=common))]
        if kind == "request_trailers":
            return [ProcessingResponse(request_trailers=TrailersResponse())]
        self.over = True
        return [ProcessingResponse(response_trailers=TrailersResponse())]

    def _route(self) -> list[ProcessingResponse]:
        document = msgspec.json.decode(b"".join(self._body))
        document["model"] = TARGET
        body = msgspec.json.encode(document)
        values = ((DESTINATION, next(self._destinations).encode()), ("content-length", str(len(body)).encode()))
        mutation = HeaderMutation(
            set_headers=[
                HeaderValueOption(
                    header=HeaderValue(key=name, raw_value=value),
                    append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
                )
                for name, value in values
            ]
        )
        if not self._duplex:
            common = CommonResponse(header_mutation=mutation, body_mutation=BodyMutation(body=body))
            return [ProcessingResponse(request_body=BodyResponse(response=common))]
        head = CommonResponse(header_mutation=mutation, clear_route_cache=True)
        pieces = [body[start : start + 62_000] for start in range(0, len(body), 62_000)]
        chunks = [
            StreamedBodyResponse(body=piece, end_of_stream=number == len(pieces) - 1)
            for number, piece in enumerate(pieces)
        ]
        return [
            ProcessingResponse(request_headers=HeadersResponse(response=head)),
            *(
                ProcessingResponse(
                    request_body=BodyResponse(
                        response=CommonResponse(body_mutation=BodyMutation(streamed_response=chunk))
                    )
                )
                for chunk in chunks
            ),
        ]


def in_turn(addresses: Sequence[str]) -> Iterator[str]:
    """Destinations, one after the other for ever."""
    return itertools.cycle(addresses)
