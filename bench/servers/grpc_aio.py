"""A bare ext_proc server on ``grpc.aio``. Usage: ``python -m bench.servers.grpc_aio PORT IP:PORT,IP:PORT...``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from bench.servers.conversation import PROCESS, Conversation, in_turn


async def serve(port: int, addresses: list[str]) -> None:
    """Serve until killed."""
    destinations = in_turn(addresses)

    async def process(requests: AsyncIterator[ProcessingRequest], _context: Any) -> AsyncIterator[ProcessingResponse]:
        conversation = Conversation(destinations)
        async for request in requests:
            for answer in conversation.answers(request):
                yield answer
            if conversation.over:
                return

    service, _, method = PROCESS[1:].partition("/")
    handler = grpc.stream_stream_rpc_method_handler(
        process,
        request_deserializer=ProcessingRequest.FromString,
        response_serializer=ProcessingResponse.SerializeToString,
    )
    server = grpc.aio.server(
        options=[("grpc.max_concurrent_streams", 100_000), ("grpc.max_receive_message_length", 32 << 20)]
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2].split(",")))
