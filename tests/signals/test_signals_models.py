"""Asking real HTTP servers for their models."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from signalbox.pool import Endpoint, ModelList
from signalbox.signals import ModelsPoller
from signalbox.signals.models import CPU_BUDGET, FORGIVEN, SLOWEST

STUCK = 10.0
"""Seconds after which a test has failed."""


class Catalogue:
    """Some targets, or none."""

    def __init__(self, *targets: str) -> None:
        self.targets: tuple[str, ...] = targets


class FakePool:
    """Notes what the poller tells it; ``until`` waits for a condition on those notes."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self.endpoints: tuple[Endpoint, ...] = endpoints
        self.catalogue = Catalogue("adapter")
        self.told: list[tuple[str, ModelList | None]] = []
        self._news = asyncio.Event()

    def record_models(self, endpoint: Endpoint, models: ModelList | None, /) -> None:
        self.told.append((endpoint.name, models))
        self._news.set()

    def told_of(self, name: str) -> list[ModelList | None]:
        return [models for told, models in self.told if told == name]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(STUCK):
            while not condition():
                self._news.clear()
                await self._news.wait()


class Server:
    """A model server's /v1/models."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.status = 200
        self.page = ""
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.connections: set[object] = set()
        self._news = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.connections.add(request.transport)
        self._news.set()
        await self.gate.wait()
        if self.page:
            return web.Response(text=self.page)
        cards = [{"id": name, "parent": "base" if name != "base" else None} for name in self.names]
        return web.json_response({"object": "list", "data": cards}, status=self.status)

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(STUCK):
            while self.asked < times:
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def serving(server: Server, name: str = "a", row: int = 0) -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.router.add_get("/v1/models", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Endpoint(name=name, namespace="default", pod=name, host="127.0.0.1", port=runner.addresses[0][1], row=row)
    finally:
        server.gate.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def polling(poller: ModelsPoller) -> AsyncIterator[None]:
    task = asyncio.create_task(poller.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


BASE = ModelList(frozenset({"base"}))
BOTH = ModelList(frozenset({"base", "adapter"}), frozenset({"adapter"}))


async def test_every_endpoint_is_asked_again_and_again_on_one_connection() -> None:
    one, two = Server("base"), Server("base", "adapter")
    async with serving(one, "a") as a, serving(two, "b", 1) as b:
        pool = FakePool(a, b)
        async with polling(ModelsPoller(pool, interval=0.005)):
            await pool.until(lambda: len(pool.told_of("a")) >= 3 and len(pool.told_of("b")) >= 3)
    assert set(pool.told_of("a")) == {BASE}
    assert set(pool.told_of("b")) == {BOTH}
    assert len(one.connections) == 1


async def test_an_adapter_that_loads_is_seen_at_the_next_question() -> None:
    server = Server("base")
    async with serving(server) as a:
        pool = FakePool(a)
        async with polling(ModelsPoller(pool, interval=0.005)):
            await pool.until(lambda: BASE in pool.told_of("a"))
            server.names.append("adapter")
            await pool.until(lambda: BOTH in pool.told_of("a"))


async def test_nobody_is_asked_while_no_object_names_a_target() -> None:
    server = Server("base")
    async with serving(server) as a:
        pool = FakePool(a)
        pool.catalogue = Catalogue()
        poller = ModelsPoller(pool, interval=60.0)
        async with polling(poller):
            for _ in range(5):
                poller.wake()
                await asyncio.sleep(0)
            assert server.asked == 0
            pool.catalogue = Catalogue("adapter")
            poller.wake()
            await pool.until(lambda: pool.told_of("a") == [BASE])
            pool.catalogue = Catalogue()
            poller.wake()
            await pool.until(lambda: pool.told_of("a") == [BASE, None])


async def test_a_new_endpoint_is_asked_at_once_and_the_others_are_not() -> None:
    one, two = Server("base"), Server("base", "adapter")
    async with serving(one, "a") as a, serving(two, "b", 1) as b:
        pool = FakePool(a)
        poller = ModelsPoller(pool, interval=60.0)
        async with polling(poller):
            await pool.until(lambda: pool.told_of("a") == [BASE])
            pool.endpoints = (a, b)
            poller.wake()
            await pool.until(lambda: pool.told_of("b") == [BOTH])
    assert one.asked == 1


async def test_an_endpoint_that_leaves_is_forgotten() -> None:
    async with serving(Server("base")) as a:
        pool = FakePool(a)
        poller = ModelsPoller(pool, interval=60.0)
        async with polling(poller):
            await pool.until(lambda: bool(pool.told))
            pool.endpoints = ()
            poller.wake()
            await pool.until(lambda: pool.told_of("a") == [BASE, None])


async def test_a_list_outlives_a_few_failures_and_no_more() -> None:
    server = Server("base")
    async with serving(server) as a:
        pool = FakePool(a)
        async with polling(ModelsPoller(pool, interval=0.005)):
            await pool.until(lambda: bool(pool.told))
            server.status = 500
            before = server.asked
            await pool.until(lambda: None in pool.told_of("a"))
            assert server.asked - before >= FORGIVEN
            server.status = 200
            await pool.until(lambda: pool.told_of("a")[-1] == BASE)


async def test_a_server_that_never_answers_holds_up_nobody_for_longer_than_the_timeout() -> None:
    slow, quick = Server("base"), Server("base")
    slow.gate.clear()
    async with serving(slow, "slow") as a, serving(quick, "quick", 1) as b:
        pool = FakePool(a, b)
        async with polling(ModelsPoller(pool, interval=0.005, timeout=0.02)):
            await pool.until(lambda: len(pool.told_of("quick")) >= 3 and None in pool.told_of("slow"))
    assert set(pool.told_of("slow")) == {None}


async def test_a_page_that_is_no_list_counts_as_no_answer() -> None:
    server = Server()
    server.page = "<html>"
    async with serving(server) as a:
        pool = FakePool(a)
        async with polling(ModelsPoller(pool, interval=0.005)):
            await pool.until(lambda: bool(pool.told))
    assert set(pool.told_of("a")) == {None}


def test_many_endpoints_are_asked_less_often() -> None:
    pool = FakePool(
        *[Endpoint(f"p{n}", "default", f"p{n}", f"10.0.{n % 250}.{n // 250}", 8000, n) for n in range(1000)]
    )
    poller = ModelsPoller(pool)
    assert poller.interval == 2.0
    poller._follow_the_pool()
    assert poller.interval == min(SLOWEST, 1000 * poller._cost.seconds / CPU_BUDGET)
    assert poller.interval > 2.0


async def test_a_server_whose_labels_change_keeps_its_list_and_its_connection() -> None:
    server = Server("base")
    async with serving(server) as a:
        pool = FakePool(a)
        poller = ModelsPoller(pool, interval=0.005)
        async with polling(poller):
            await pool.until(lambda: BASE in pool.told_of("a"))
            pool.endpoints = (Endpoint(a.name, a.namespace, a.pod, a.host, a.port, a.row, {"team": "x"}),)
            poller.wake()
            told = len(pool.told)
            await pool.until(lambda: len(pool.told) > told + 2)
    assert set(pool.told_of("a")) == {BASE}
    assert len(server.connections) == 1
