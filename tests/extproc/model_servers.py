"""Model servers that say what reached them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack

from aiohttp import web

SERVERS = ("127.0.0.2", "127.0.0.3")
DESTINATION = "x-gateway-destination-endpoint"


class ModelServers:
    """One server on each of `SERVERS`, all on one port, that say what reached them."""

    def __init__(self) -> None:
        self.port = 0
        self.trailers_port = 0
        self.go_on = asyncio.Event()
        """``/v1/paused`` sends the first event of its answer, then waits for this; ``/v1/silent`` waits before."""
        self.paused = asyncio.Event()
        """Set when it waits."""
        self._app = web.Application(client_max_size=1 << 30)
        self._app.router.add_post("/v1/none", self._none)
        self._app.router.add_route("*", "/{path:.*}", self._answer)

    async def start(self, stack: AsyncExitStack) -> None:
        """Listen until ``stack`` closes."""
        runner = web.AppRunner(self._app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        for host in SERVERS:
            site = web.TCPSite(runner, host, self.port)
            await site.start()
            self.port = runner.addresses[0][1]
        raw = await asyncio.start_server(self._with_trailers, SERVERS[0], 0)
        stack.push_async_callback(raw.wait_closed)
        stack.callback(raw.close)
        self.trailers_port = raw.sockets[0].getsockname()[1]

    @staticmethod
    async def _with_trailers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, which must come in chunks or with no body, with a body and trailers."""
        head = await reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head:
            await reader.readuntil(b"0\r\n")
        elif b"content-length: " in head:
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n")
        writer.write(b"trailer: x-checksum\r\nconnection: close\r\n\r\n2\r\n{}\r\n0\r\nx-checksum: 7\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def _none(self, request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"error": {"message": "no such thing"}}, status=404)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.path == "/v1/silent":
            await self.go_on.wait()
        assert request.transport is not None
        host, port, *_ = request.transport.get_extra_info("sockname")
        headers = {
            "x-server": f"{host}:{port}",
            "x-picked": request.headers.get(DESTINATION, ""),
            "x-content-length": request.headers.get("content-length", ""),
        }
        asked = json.loads(body) if body else {}
        if not asked.get("stream"):
            seen = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "pad": "y" * asked.get("pad", 0)}
            return web.json_response(seen, headers=headers)
        answer = web.StreamResponse(headers={"content-type": "text/event-stream", **headers})
        await answer.prepare(request)
        for number, event in enumerate(events()):
            await answer.write(event)
            if number == 0 and request.path == "/v1/paused":
                self.paused.set()
                await self.go_on.wait()
        return answer


def events() -> list[bytes]:
    """A streamed answer, event by event."""
    usage = json.dumps({"usage": {"prompt_tokens": 3, "completion_tokens": 50}}).encode()
    return [*(b'data: {"choices": [%d]}\n\n' % n for n in range(50)), b"data: " + usage + b"\n\n", b"data: [DONE]\n\n"]
