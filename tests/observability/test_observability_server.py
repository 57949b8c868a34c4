"""The HTTP server for metrics and health, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from signalbox.observability import MetricsServer


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("dogs", "Dogs seen.", ["name"], registry=registry).labels("Rex").inc(3)
    Gauge("cats", "Cats here.", registry=registry).set(2)
    return registry


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_metrics_are_all_families_of_the_registry(
    registry: CollectorRegistry, client: aiohttp.ClientSession
) -> None:
    server = MetricsServer(registry)
    await server.start("127.0.0.1", 0)
    try:
        async with client.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert await answer.read() == generate_latest(registry)
    finally:
        await server.close()


async def test_health_follows_the_process_and_routes_can_be_added(
    registry: CollectorRegistry, client: aiohttp.ClientSession
) -> None:
    healthy = False

    async def hello(_request: web.Request) -> web.Response:
        return web.json_response({"hello": True})

    server = MetricsServer(registry, healthy=lambda: healthy)
    server.add_get("/admin/hello", hello)
    await server.start("127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.port}"
    try:
        async with client.get(f"{base}/healthz") as answer:
            assert (answer.status, await answer.text()) == (503, "not ready\n")
        healthy = True
        async with client.get(f"{base}/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        async with client.get(f"{base}/admin/hello") as answer:
            assert await answer.json() == {"hello": True}
        async with client.get(f"{base}/nothing") as answer:
            assert answer.status == 404
    finally:
        await server.close()


async def test_a_port_in_use_is_said_with_its_address(registry: CollectorRegistry) -> None:
    first, second = MetricsServer(registry), MetricsServer(registry)
    await first.start("127.0.0.1", 0)
    try:
        with pytest.raises(OSError, match=f"metrics cannot listen on 127.0.0.1:{first.port}: .*in use"):
            await second.start("127.0.0.1", first.port)
    finally:
        await first.close()


async def test_closed_it_has_no_port_and_closing_again_does_nothing(registry: CollectorRegistry) -> None:
    server = MetricsServer(registry)
    await server.start("127.0.0.1", 0)
    await server.close()
    await server.close()
    with pytest.raises(RuntimeError, match="no port"):
        _ = server.port
