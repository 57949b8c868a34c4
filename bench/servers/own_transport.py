"""Our transport with the bare servers' answers: what ``signalbox.wire`` costs, without the picker behind it.

Usage: ``python -m bench.servers.own_transport PORT IP:PORT,IP:PORT...``.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest

from bench.servers.conversation import PROCESS, Conversation, in_turn
from signalbox.wire import Call, GrpcServer


class _Stream:
    __slots__ = ("_call", "_conversation")

    def __init__(self, call: Call, conversation: Conversation) -> None:
        self._call = call
        self._conversation = conversation

    def message(self, data: bytes) -> None:
        for answer in self._conversation.answers(ProcessingRequest.FromString(data)):
            self._call.send(answer.SerializeToString())
        if self._conversation.over:
            self._call.finish()

    def half_closed(self) -> None:
        self._call.finish()

    def cancelled(self) -> None:
        pass


async def serve(port: int, addresses: list[str]) -> None:
    """Serve until killed."""
    destinations = in_turn(addresses)
    server = GrpcServer({PROCESS: lambda call: _Stream(call, Conversation(destinations))})
    await server.start("127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2].split(",")))
