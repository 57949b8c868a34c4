"""What a gateway says in one ext_proc stream, in each of its body modes, and what it must hear."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
REQUEST_MODES = ("NONE", "BUFFERED", "BUFFERED_PARTIAL", "STREAMED", "FULL_DUPLEX_STREAMED")
RESPONSE_MODES = ("NONE", "BUFFERED", "STREAMED", "FULL_DUPLEX_STREAMED")
BODY = json.dumps({"model": "m", "prompt": "x" * 100_000}).encode()
ANSWER = json.dumps({"usage": {"prompt_tokens": 3, "completion_tokens": 5}}).encode()


@dataclass(frozen=True)
class Turn:
    """Messages to send at once, and the kinds of the answers that must follow, in order."""

    say: tuple[ext_proc.ProcessingRequest, ...]
    hear: tuple[str, ...]


def headers(values: dict[str, str], end: bool = False) -> ext_proc.HttpHeaders:
    """An ``HttpHeaders`` message."""
    entries = [base_pb2.HeaderValue(key=key, raw_value=value.encode()) for key, value in values.items()]
    return ext_proc.HttpHeaders(headers=base_pb2.HeaderMap(headers=entries), end_of_stream=end)


def opening(request_mode: str, response_mode: str, end: bool = False, **extra: str) -> ext_proc.ProcessingRequest:
    """The first message of a stream."""
    values = {":method": "POST", ":path": "/v1/completions", "content-type": "application/json", **extra}
    return ext_proc.ProcessingRequest(
        request_headers=headers(values, end),
        protocol_config=ext_proc.ProtocolConfiguration(
            request_body_mode=ProcessingMode.BodySendMode.Value(request_mode),
            response_body_mode=ProcessingMode.BodySendMode.Value(response_mode),
        ),
    )


def body(data: bytes, end: bool = True) -> ext_proc.ProcessingRequest:
    """A piece of the request's body."""
    return ext_proc.ProcessingRequest(request_body=ext_proc.HttpBody(body=data, end_of_stream=end))


def _answer(data: bytes, end: bool) -> ext_proc.ProcessingRequest:
    return ext_proc.ProcessingRequest(response_body=ext_proc.HttpBody(body=data, end_of_stream=end))


def dialogue(request_mode: str, response_mode: str) -> Sequence[Turn]:
    """A whole exchange: `BODY` goes up, `ANSWER` comes down."""
    first = opening(request_mode, response_mode)
    if request_mode == "NONE":
        turns = [Turn((first,), ("request_headers",))]
    elif request_mode == "FULL_DUPLEX_STREAMED":
        pieces = (body(BODY[:40_000], end=False), body(BODY[40_000:]))
        turns = [Turn((first, *pieces), ("request_headers", "request_body", "request_body"))]
    else:
        turns = [Turn((first,), ("request_headers",)), Turn((body(BODY),), ("request_body",))]
    answer = ext_proc.ProcessingRequest(
        response_headers=headers({":status": "200", "content-type": "application/json"})
    )
    turns.append(Turn((answer,), ("response_headers",)))
    if response_mode in ("STREAMED", "FULL_DUPLEX_STREAMED"):
        turns.append(Turn((_answer(ANSWER[:20], end=False),), ("response_body",)))
        turns.append(Turn((_answer(ANSWER[20:], end=True),), ("response_body",)))
    elif response_mode == "BUFFERED":
        turns.append(Turn((_answer(ANSWER, end=True),), ("response_body",)))
    return turns


def destination(answers: Sequence[ext_proc.ProcessingResponse]) -> str:
    """The endpoint that the answers name, as header and metadata alike."""
    found = set()
    for answer in answers:
        kind = answer.WhichOneof("response")
        mutation = (
            getattr(answer, kind).response.header_mutation if kind in ("request_headers", "request_body") else None
        )
        for option in mutation.set_headers if mutation is not None else ():
            if option.header.key == "x-gateway-destination-endpoint":
                found.add(option.header.raw_value.decode())
                metadata: Any = answer.dynamic_metadata["envoy.lb"]
                assert metadata["x-gateway-destination-endpoint"] == option.header.raw_value.decode()
    (only,) = found
    return str(only)


def stream(channel: Any) -> Any:
    """The ``Process`` method of a grpcio channel, sync or aio."""
    return channel.stream_stream(
        PROCESS,
        request_serializer=ext_proc.ProcessingRequest.SerializeToString,
        response_deserializer=ext_proc.ProcessingResponse.FromString,
    )
