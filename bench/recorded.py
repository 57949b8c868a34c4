"""What Envoy 1.40 says about one request, message by message, as it was recorded behind the benchmark's listeners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue, Metadata
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HttpBody,
    HttpHeaders,
    ProcessingRequest,
    ProtocolConfiguration,
)

from bench.load import completion_request
from bench.pages import COMPLETION, SSE_USAGE, sse_chunk

CHUNKS = 50
"""Events of a streamed answer, as in :mod:`bench.servers.stream_server`."""

_REQUEST = {
    ":authority": "127.0.0.1:49965",
    ":path": "/v1/completions",
    ":method": "POST",
    ":scheme": "http",
    "accept-encoding": "identity",
    "content-length": "1000",
    "user-agent": "Python-urllib/3.11",
    "content-type": "application/json",
    "x-forwarded-proto": "http",
    "x-request-id": "f4e42d83-4b42-4b52-b133-5e2cf59b5d3a",
}
_ANSWER = {
    ":status": "200",
    "content-type": "application/json",
    "content-length": "253",
    "date": "Sun, 22 Nov 2026 13:21:01 GMT",
    "server": "envoy",
    "x-envoy-upstream-service-time": "0",
}
_STREAMED = {**_ANSWER, "content-type": "text/event-stream", "content-length": "", "transfer-encoding": "chunked"}


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request: how its gateway is set up, and whether the answer is a stream of events."""

    title: str
    duplex: bool
    streamed: bool

    def messages(self) -> list[bytes]:
        """Every ``ProcessingRequest`` of one exchange, in order."""
        mode = ProcessingMode.FULL_DUPLEX_STREAMED if self.duplex else ProcessingMode.BUFFERED
        answer_mode = ProcessingMode.FULL_DUPLEX_STREAMED if self.duplex else ProcessingMode.STREAMED
        config = ProtocolConfiguration(request_body_mode=mode, response_body_mode=answer_mode)
        body = completion_request(1_000, stream=self.streamed)
        said = [ProcessingRequest(request_headers=_headers(_REQUEST), protocol_config=config)]
        if self.duplex:
            said += [
                ProcessingRequest(request_body=HttpBody(body=body)),
                ProcessingRequest(request_body=HttpBody(end_of_stream=True)),
            ]
        else:
            said += [ProcessingRequest(request_body=HttpBody(body=body, end_of_stream=True))]
        said += [ProcessingRequest(response_headers=_headers(_STREAMED if self.streamed else _ANSWER))]
        if self.streamed:
            chunks = [*([sse_chunk()] * CHUNKS), SSE_USAGE]
            said += [ProcessingRequest(response_body=HttpBody(body=chunk)) for chunk in chunks]
            said += [ProcessingRequest(response_body=HttpBody(end_of_stream=True))]
        elif self.duplex:
            said += [
                ProcessingRequest(response_body=HttpBody(body=COMPLETION.encode())),
                ProcessingRequest(response_body=HttpBody(end_of_stream=True)),
            ]
        else:
            said += [ProcessingRequest(response_body=HttpBody(body=COMPLETION.encode(), end_of_stream=True))]
        for message in said:
            message.metadata_context.CopyFrom(Metadata())  # empty, and always there
        return [message.SerializeToString() for message in said]


SHAPES = (
    Shape("as in clusters", duplex=True, streamed=False),
    Shape("our own Envoy", duplex=False, streamed=False),
    Shape("as in clusters, streamed answer", duplex=True, streamed=True),
    Shape("our own Envoy, streamed answer", duplex=False, streamed=True),
)


def _headers(values: Mapping[str, str]) -> HttpHeaders:
    entries = [HeaderValue(key=name, raw_value=value.encode()) for name, value in values.items() if value]
    return HttpHeaders(headers=HeaderMap(headers=entries))
