"""Base models follow the ConfigMaps of an API server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from aiohttp import web
from tests.cluster.fake_api import connected

from signalbox.bbr import ClusterModels


def config_map(name: str, version: int, created: str = "2026-01-01T00:00:00Z", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "resourceVersion": str(version), "creationTimestamp": created}
    return {"metadata": metadata, "data": data}


class Server:
    """Lists ``items``; its watch says what is put into ``events``."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = items
        self.events: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "10"}, "items": list(self.items)})
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            kind, item = await self.events.get()
            await answer.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")


async def until(models: ClusterModels, expected: dict[str, str]) -> None:
    """Wait until these are the base models by name."""
    async with asyncio.timeout(20):
        while dict(models.models.by_name) != expected:  # noqa: ASYNC110 - what is waited for comes over a socket
            await asyncio.sleep(0.01)


async def test_they_are_listed_by_label_and_then_followed(tmp_path: Path) -> None:
    server = Server(config_map("a", 1, baseModel="qwen", adapters="- x"))
    async with connected(tmp_path, server) as (api, fake):
        models = ClusterModels(api, "ns")
        following = asyncio.create_task(models.follow())
        await until(models, {"qwen": "qwen", "x": "qwen"})
        (listed, *_) = fake.paths
        assert listed.startswith("GET /api/v1/namespaces/ns/configmaps?labelSelector=inference.networking.k8s.io")
        server.events.put_nowait(("ADDED", config_map("b", 11, baseModel="llama")))
        await until(models, {"qwen": "qwen", "x": "qwen", "llama": "llama"})
        server.events.put_nowait(("MODIFIED", config_map("a", 12, baseModel="qwen", adapters="- y")))
        await until(models, {"qwen": "qwen", "y": "qwen", "llama": "llama"})
        server.events.put_nowait(("DELETED", config_map("a", 13)))
        await until(models, {"llama": "llama"})
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def test_of_two_that_claim_a_name_the_older_one_has_it_and_a_bad_one_adds_nothing(tmp_path: Path) -> None:
    server = Server(
        config_map("a", 1, "2026-02-01T00:00:00Z", baseModel="young", adapters="- x"),
        config_map("b", 2, "2026-01-01T00:00:00Z", baseModel="old", adapters="- x"),
        config_map("c", 3, adapters="- z"),
        config_map("d", 4, **{"baseModel": "never", "not a key": "x"}),
    )
    async with connected(tmp_path, server) as (api, _):
        models = ClusterModels(api, "ns")
        following = asyncio.create_task(models.follow())
        await until(models, {"old": "old", "x": "old", "young": "young"})
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
