"""An API server in a few lines, for what a real one cannot be made to do: break off, lie, and answer at a wish."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from signalbox.cluster import Access, Api

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class FakeApi:
    """Answers every request with ``answer``, and remembers who came."""

    answer: Answer
    url: str = ""
    paths: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request and answer it."""
        self.paths.append(f"{request.method} {request.path_qs}")
        self.tokens.append(request.headers.get("Authorization", ""))
        text = await request.text()
        self.bodies.append(json.loads(text) if text else None)
        return await self.answer(request)


@asynccontextmanager
async def fake_api(answer: Answer) -> AsyncIterator[FakeApi]:
    """Serve on a free port of 127.0.0.1."""
    fake = FakeApi(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def kubeconfig(path: Path, url: str, **user: Any) -> Path:
    """Write a kubeconfig for a server and a user."""
    document = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


@asynccontextmanager
async def connected(directory: Path, answer: Answer, **user: Any) -> AsyncIterator[tuple[Api, FakeApi]]:
    """An `Api` and the server it talks to."""
    async with fake_api(answer) as fake:
        api = Api(Access(kubeconfig(directory / "config", fake.url, **(user or {"token": "t"}))), answer_seconds=5.0)
        try:
            yield api, fake
        finally:
            await api.close()


def status(code: int, message: str = "no", **more: Any) -> web.Response:
    """An error as an API server writes it."""
    return web.json_response({"kind": "Status", "code": code, "message": message} | more, status=code)
