"""A vLLM server's LoRA API, strict about what it accepts and exact about what it says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

BASE = "meta-llama/Llama-3.1-8B-Instruct"
SOON = 10.0
"""Seconds after which a test is stuck."""


class FakeVLLM:
    """One server on a port of its own. ``calls`` are the requests that asked for a change, in order."""

    def __init__(self) -> None:
        self.adapters: dict[str, str] = {}
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.listed = 0
        self.health_checks = 0
        self.sought: list[object] = []
        self.healthy = True
        self.flat_errors = False
        self.resolves_roots = False
        self.broken: set[str] = set()
        self.garbage: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._news = asyncio.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def loads(self) -> list[object]:
        return [body["lora_name"] for path, body in self.calls if path == "load"]

    @property
    def unloads(self) -> list[object]:
        return [body["lora_name"] for path, body in self.calls if path == "unload"]

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/load_lora_adapter", self._load)
        app.router.add_post("/v1/unload_lora_adapter", self._unload)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.gate.set()
        if self._runner:
            await self._runner.cleanup()
        self._runner = None

    def seek(self, what: object) -> None:
        """Note what a client was after when it was made for this server."""
        self.sought.append(what)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for ``condition``, which is looked at after every request."""
        async with asyncio.timeout(SOON):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def _health(self, _: web.Request) -> web.Response:
        self.health_checks += 1
        self._news.set()
        return web.Response(status=200 if self.healthy else 503)

    async def _models(self, _: web.Request) -> web.Response:
        self.listed += 1
        self._news.set()
        if self.garbage is not None:
            return web.Response(text=self.garbage)
        cards: list[dict[str, object]] = [
            {"id": BASE, "object": "model", "owned_by": "vllm", "root": BASE, "parent": None, "max_model_len": 4096}
        ]
        for id, source in self.adapters.items():
            root = f"/models/snapshots/{source}" if self.resolves_roots else source
            cards.append({"id": id, "object": "model", "root": root, "parent": BASE, "max_model_len": None})
        return web.json_response({"object": "list", "data": cards})

    async def _load(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append(("load", body))
        self._news.set()
        await self.gate.wait()
        try:
            name, path = body["lora_name"], body["lora_path"]
            if not name or not path:
                return self._error(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")
            if name in self.adapters:
                return self._error(
                    400,
                    "InvalidUserInput",
                    f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
                    "set 'load_inplace' to True.",
                )
            if path in self.broken:
                return self._error(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}")
            self.adapters[name] = path
            return web.Response(text=f"Success: LoRA adapter '{name}' added successfully.")
        finally:
            self._news.set()

    async def _unload(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append(("unload", body))
        self._news.set()
        name = body["lora_name"]
        if name not in self.adapters:
            return self._error(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        del self.adapters[name]
        return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")

    def _error(self, status: int, kind: str, message: str) -> web.Response:
        error = {"message": message, "type": kind, "param": None, "code": status}
        body = {"object": "error", **error} if self.flat_errors else {"error": error}
        return web.Response(status=status, text=json.dumps(body), content_type="application/json")


@pytest.fixture
async def vllm() -> AsyncIterator[FakeVLLM]:
    """A running server."""
    server = FakeVLLM()
    await server.start()
    yield server
    await server.stop()
