import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from signalbox.modelserver import ModelServer, parse_options


class Client:
    """A running server and a session that talks to it."""

    def __init__(self, server: ModelServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the event loop turn until something is so; fails after ten seconds."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - the server under test has no events to wait for
                await asyncio.sleep(0)

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON (or text) of an answer."""
        async with self.session.post(path, json=body) as response:
            return response.status, await _content(response)

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON (or text) of an answer."""
        async with self.session.get(path) as response:
            return response.status, await _content(response)


async def _content(response: aiohttp.ClientResponse) -> Any:
    return await response.json() if response.content_type == "application/json" else await response.text()


Serve = Callable[..., Awaitable[Client]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server in this loop: model "m", a thousand times as fast as the real one unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, runtime_lora: bool = True) -> Client:
            options = parse_options(["--model", "m", "--speed", "1000", *arguments])
            server = ModelServer(options, runtime_lora=runtime_lora)
            port = await server.start("127.0.0.1", 0)
            stack.push_async_callback(server.close)
            session = aiohttp.ClientSession(f"http://127.0.0.1:{port}")
            await stack.enter_async_context(session)
            return Client(server, session)

        yield start
