"""Who gets past the guard of the metrics port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from tests.cluster.fake_api import FakeApi, connected, status

from signalbox.cli.metrics_guard import MetricsGuard
from signalbox.cluster import Reviews
from signalbox.observability import MetricsServer


async def reviewing(request: web.Request) -> web.Response:
    """Knows ``good``, who may get /metrics; fails for ``sick``."""
    spec = (await request.json())["spec"]
    if spec.get("token") == "sick":
        return status(500, "etcd is gone")
    if "token" in spec:
        known = spec["token"] == "good"
        return web.json_response({"status": {"authenticated": known, "user": {"username": "someone"}}})
    return web.json_response({"status": {"allowed": spec["nonResourceAttributes"]["path"] == "/metrics"}})


@asynccontextmanager
async def guarded(directory: Path) -> AsyncIterator[tuple[str, FakeApi]]:
    """A metrics server behind the guard."""
    async with connected(directory, reviewing) as (api, fake):
        server = MetricsServer(CollectorRegistry(), guard=MetricsGuard(Reviews(api, lambda: 0.0)))
        await server.start("127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.port}", fake
        finally:
            await server.close()


@pytest.mark.parametrize(
    ("path", "authorization", "code", "said"),
    [
        ("/metrics", "Bearer good", 200, ""),
        ("/metrics", "bearer  good", 200, ""),
        ("/metrics", "", 401, "no bearer token"),
        ("/metrics", "Basic Zm9vOmJhcg==", 401, "no bearer token"),
        ("/metrics", "Bearer", 401, "no bearer token"),
        ("/metrics", "Bearer bad", 401, "not valid, or no longer"),
        ("/metrics", "Bearer sick", 500, "the API server did not say"),
        ("/debug/pool", "Bearer good", 403, "someone may not get /debug/pool: give it a ClusterRole"),
        ("/nothing", "", 401, "no bearer token"),
        ("/healthz", "", 200, "ok"),
    ],
)
async def test_each_gets_the_answer_that_is_due(
    tmp_path: Path, path: str, authorization: str, code: int, said: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    async with (
        guarded(tmp_path) as (url, _),
        aiohttp.ClientSession() as session,
        session.get(url + path, headers=headers) as answer,
    ):
        assert answer.status == code
        assert said in await answer.text()
        assert (answer.headers.get("WWW-Authenticate") == "Bearer") == (code == 401)


async def test_in_an_outage_who_was_allowed_still_reads_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, down = 0.0, False

    async def failing(request: web.Request) -> web.Response:
        return status(503, "etcd is gone") if down else await reviewing(request)

    async with connected(tmp_path, failing) as (api, _):
        guard = MetricsGuard(Reviews(api, lambda: now))
        assert await guard("/metrics", "Bearer good") is None
        down = True
        for now in (100.0, 150.0, 4000.0):  # noqa: B007 - the clock reads it
            assert await guard("/metrics", "Bearer good") is None
            denied = await guard("/metrics", "Bearer unseen")
            assert denied is not None
            assert denied.status == 500
        told = [record.message for record in caplog.records if "whoever was allowed last still is" in record.message]
        assert len(told) == 1


async def test_who_shows_no_token_is_not_looked_up(tmp_path: Path) -> None:
    async with guarded(tmp_path) as (url, fake), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/metrics"):
            pass
        assert fake.paths == []


async def test_without_a_guard_everyone_reads() -> None:
    server = MetricsServer(CollectorRegistry())
    await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}/metrics") as answer:
        assert answer.status == 200
    await server.close()
