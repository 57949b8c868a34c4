"""A real Envoy between a client and fake servers, all on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from tests.gateway.envoy.documents import options

from signalbox.gateway.envoy import Envoy, EnvoyConfig, EnvoyFiles, PoolBackend, ServiceBackend, translate
from signalbox.resources import Gateway, HTTPRoute

FAKE_PICKER = Path(__file__).with_name("fake_picker.py")


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A model server: ``/stream`` and ``/wait`` answer as the test says, any other path at once."""

    def __init__(self) -> None:
        self.requests = 0
        self.port = 0
        self.go_on = asyncio.Event()
        """A streamed answer sends its first chunk, then waits for this."""
        self.streaming = asyncio.Event()
        """Set once a first chunk is sent."""

    @property
    def address(self) -> str:
        """``ip:port``."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> web.AppRunner:
        """Listen on a free port."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/stream", self._stream)
        app.router.add_route("*", "/wait", self._wait)
        app.router.add_route("*", "/{path:.*}", self._echo)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner

    async def _wait(self, request: web.Request) -> web.Response:
        self.requests += 1
        await self.go_on.wait()
        return web.Response()

    async def _echo(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        headers = {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers}
        seen = {"server": self.address, "path": request.path_qs, "length": len(body), "headers": headers}
        seen["sha256"] = hashlib.sha256(body).hexdigest()
        return web.json_response(seen, headers={"x-server": self.address})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        await request.read()
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: first\n\n")
        self.streaming.set()
        await self.go_on.wait()
        for number in range(20):
            await answer.write(b"data: %d\n\n" % number)
        await answer.write(b"data: [DONE]\n\n")
        return answer


class PickerProcess:
    """The fake picker as a process that can be killed and started again on its port."""

    def __init__(self) -> None:
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """``ip:port``."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it; it listens when this returns."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(FAKE_PICKER), str(self.port), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(await asyncio.wait_for(self._process.stdout.readline(), 30))

    def freeze(self) -> None:
        """SIGSTOP: it stays connected and says nothing more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    async def kill(self) -> None:
        """SIGKILL, as the kernel does it when memory runs out."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


class Answer:
    """An answer read to its end."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, json: Any) -> None:
        self.status, self.headers, self.body, self.json = status, headers, body, json

    @property
    def server(self) -> str:
        """The server that gave it."""
        return self.headers.get("x-server", "")


class RealGateway:
    """An Envoy that runs what is applied to it, and a client for it."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.port = free_port()
        self.files = EnvoyFiles(directory)
        self.exited = asyncio.Event()
        """Set when Envoy ended without being asked to."""
        self.envoy = Envoy(directory, on_exit=lambda exited: self.exited.set())
        self._settings = settings
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        await self.envoy.stop()

    @property
    def client(self) -> aiohttp.ClientSession:
        """The HTTP client."""
        assert self._client is not None
        return self._client

    async def serve(
        self,
        gateways: Sequence[Gateway],
        routes: Sequence[HTTPRoute],
        pools: Sequence[PoolBackend] = (),
        services: Sequence[ServiceBackend] = (),
    ) -> EnvoyConfig:
        """Bring these resources into force; starts Envoy the first time."""
        settings = options(self.directory, *gateways, port=self.port, **self._settings)
        config = translate(gateways, routes, pools, services, settings)
        if self.envoy.pid is None:
            version = self.files.write(config)
            await self.envoy.start()
            await self.envoy.ready(20)
            await self.envoy.applied(version, 20)
        else:
            await self.envoy.apply(self.files, config, 20)
        return config

    def url(self, path: str) -> str:
        """A path of the gateway as a URL."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def ask(
        self,
        path: str = "/",
        method: str = "POST",
        data: bytes = b"{}",
        also: Mapping[str, str] | None = None,
        **headers: str,
    ) -> Answer:
        """One request; ``x_pick="..."`` becomes the header ``x-pick``, as does ``also={"x-pick": "..."}``."""
        named = {**(also or {}), **{name.replace("_", "-"): value for name, value in headers.items()}}
        body = None if method == "GET" else io.BytesIO(data)
        async with self.client.request(
            method, self.url(path), data=body, headers=named, allow_redirects=False
        ) as answer:
            content = await answer.read()
            json = await answer.json() if answer.content_type == "application/json" else None
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, content, json)
