"""An endpoint picker on grpcio, independent of Signalbox's own: it does what the request's headers tell it.

``x-pick`` is the destination it names; ``x-behaviour`` may be ``close`` (end the stream with no answer), ``hang``
(never answer), ``refuse`` (an immediate 429), ``duplicate`` (rewrite the body to twice its length) or ``duplex`` (hand
answer bodies on as FULL_DUPLEX_STREAMED wants them). Every answer gets the header ``x-served``: the endpoint that Envoy
says took the request. As a program,
``python fake_picker.py PORT`` prints the port it listens on, so that a test can kill it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2, external_processor_pb2_grpc

DESTINATION = "x-gateway-destination-endpoint"
SERVED = "x-gateway-destination-endpoint-served"


class FakePicker(external_processor_pb2_grpc.ExternalProcessorServicer):  # type: ignore[misc]
    """The service, and what it has seen."""

    def __init__(self) -> None:
        self.streams = 0
        self.server: Any = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on a loopback port."""
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.server = grpc.aio.server(options=unlimited)
        external_processor_pb2_grpc.add_ExternalProcessorServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        await self.server.start()

    async def Process(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """One exchange."""
        self.streams += 1
        headers: dict[str, str] = {}
        async for request in requests:
            answer = external_processor_pb2.ProcessingResponse()
            match request.WhichOneof("request"):
                case "request_headers":
                    headers = {
                        header.key: header.raw_value.decode() for header in request.request_headers.headers.headers
                    }
                    if headers.get("x-behaviour") == "close":
                        return
                    if request.request_headers.end_of_stream:
                        self._pick(headers, answer, answer.request_headers.response)
                    else:
                        answer.request_headers.SetInParent()
                case "request_body":
                    if headers.get("x-behaviour") == "hang":
                        await asyncio.Event().wait()
                    common = answer.request_body.response
                    self._pick(headers, answer, common)
                    if headers.get("x-behaviour") == "duplicate":
                        body = request.request_body.body * 2
                        common.body_mutation.body = body
                        _set(common, "content-length", str(len(body)))
                    if headers.get("x-behaviour") == "refuse":
                        answer = external_processor_pb2.ProcessingResponse()
                        answer.immediate_response.status.code = 429
                        answer.immediate_response.body = b'{"error": "said by the picker"}'
                        answer.immediate_response.details = headers.get("x-details", "")
                case "response_headers":
                    _set(answer.response_headers.response, "x-served", _served(request))
                case "response_body":
                    answer.response_body.SetInParent()
                    if headers.get("x-behaviour") == "duplex":
                        chunk = answer.response_body.response.body_mutation.streamed_response
                        chunk.body = request.response_body.body
                        chunk.end_of_stream = request.response_body.end_of_stream
            yield answer

    def _pick(self, headers: dict[str, str], answer: Any, common: Any) -> None:
        destination = headers.get("x-pick")
        if destination:
            common.clear_route_cache = True  # as pickers do, for gateways that route by what the picker set
            _set(common, DESTINATION, destination)
            answer.dynamic_metadata.update({"envoy.lb": {DESTINATION: destination}})


def _served(request: Any) -> str:
    spaces = request.metadata_context.filter_metadata
    return str(spaces["envoy.lb"][SERVED]) if "envoy.lb" in spaces and SERVED in spaces["envoy.lb"] else "nobody said"


def _set(common: Any, name: str, value: str) -> None:
    option = common.header_mutation.set_headers.add()
    option.header.key, option.header.raw_value = name, value.encode()


async def main() -> None:
    """Serve until killed."""
    picker = FakePicker()
    await picker.start(int(sys.argv[1]))
    print(picker.port, flush=True)
    await picker.server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
