"""The poller against real HTTP servers."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from aiohttp import web

from signalbox.pool.endpoints import Endpoint
from signalbox.pool.readings import Readings
from signalbox.signals import ENGINES, MetricsPoller

SOON = 10.0
"""Seconds after which a test is stuck."""


class FakePool:
    """Notes what the poller tells it; ``until`` waits for a condition on those notes."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self.endpoints: tuple[Endpoint, ...] = endpoints
        self.version = 1
        self.marks: list[str] = []
        self.recorded: list[tuple[str, Readings, int, float]] = []
        self.failed: list[tuple[str, float]] = []
        self.intervals: list[float] = []
        self._news = asyncio.Event()

    def change(self, *endpoints: Endpoint) -> None:
        self.endpoints = endpoints
        self.version += 1

    def scraping_every(self, seconds: float, /) -> None:
        self.intervals.append(seconds)

    def begin_scrape(self, endpoint: Endpoint, /) -> int:
        self.marks.append(endpoint.name)
        self._news.set()
        return len(self.marks)

    def record(self, endpoint: Endpoint, readings: Readings, mark: int, now: float, /) -> None:
        self.recorded.append((endpoint.name, readings, mark, now))
        self._news.set()

    def scrape_failed(self, endpoint: Endpoint, now: float, /) -> None:
        self.failed.append((endpoint.name, now))
        self._news.set()

    def readings(self, name: str) -> list[Readings]:
        return [readings for recorded, readings, _, _ in self.recorded if recorded == name]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON):
            while not condition():
                self._news.clear()
                await self._news.wait()


class Server:
    """A model server's /metrics, as a test wants it to be."""

    def __init__(self) -> None:
        self.page = "vllm:num_requests_waiting 1\n"
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.held = 0
        self.most_held = 0
        self.connections: set[object] = set()

    async def handle(self, request: web.Request) -> web.Response:
        self.connections.add(request.transport)
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        try:
            await self.gate.wait()
        finally:
            self.held -= 1
        return web.Response(text=self.page, status=self.status)


@contextlib.asynccontextmanager
async def serving(server: Server, name: str = "a", row: int = 0, port: int = 0) -> AsyncIterator[Endpoint]:
    app = web.Application()
    app.router.add_get("/metrics", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield Endpoint(name=name, namespace="default", pod=name, host="127.0.0.1", port=runner.addresses[0][1], row=row)
    finally:
        server.gate.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def polling(poller: MetricsPoller[int]) -> AsyncIterator[None]:
    task = asyncio.create_task(poller.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_every_endpoint_is_read_over_and_over_on_one_connection() -> None:
    one, two = Server(), Server()
    two.page = "vllm:num_requests_waiting 2\n"
    async with serving(one, "a", 0) as a, serving(two, "b", 1) as b:
        pool = FakePool(a, b)
        async with polling(MetricsPoller(pool, interval=0.005, clock=lambda: 42.0)):
            await pool.until(lambda: len(pool.readings("a")) >= 5 and len(pool.readings("b")) >= 5)
    assert set(pool.readings("a")) == {Readings(waiting=1)}
    assert set(pool.readings("b")) == {Readings(waiting=2)}
    assert len(one.connections) == len(two.connections) == 1
    assert not pool.failed
    assert {now for *_, now in pool.recorded} == {42.0}


async def test_a_mark_taken_before_the_request_comes_back_with_what_was_read() -> None:
    async with serving(Server()) as a:
        pool = FakePool(a)
        async with polling(MetricsPoller(pool, interval=0.005)):
            await pool.until(lambda: len(pool.recorded) >= 3)
    assert [mark for _, _, mark, _ in pool.recorded[:3]] == [1, 2, 3]


async def test_a_slow_server_delays_nobody_and_is_asked_once_at_a_time() -> None:
    slow, quick = Server(), Server()
    slow.gate.clear()
    async with serving(slow, "slow", 0) as a, serving(quick, "quick", 1) as b:
        pool = FakePool(a, b)
        async with polling(MetricsPoller(pool, interval=0.005, timeout=SOON)):
            await pool.until(lambda: "slow" in pool.marks and len(pool.readings("quick")) >= 10)
            assert pool.marks.count("slow") == 1
            slow.gate.set()
            await pool.until(lambda: len(pool.readings("slow")) >= 2)
    assert slow.most_held == 1


async def test_no_answer_in_time_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.gate.clear()
    async with serving(server) as a:
        pool = FakePool(a)
        async with polling(MetricsPoller(pool, interval=0.005, timeout=0.02)):
            await pool.until(lambda: len(pool.failed) >= 2)
    assert not pool.recorded
    assert "no answer within 0.02 s" in caplog.text


async def test_a_failing_endpoint_is_said_once_and_its_recovery_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "signalbox.signals")
    server = Server()
    server.status = 503
    async with serving(server) as a:
        pool = FakePool(a)
        async with polling(MetricsPoller(pool, interval=0.002)):
            await pool.until(lambda: len(pool.failed) >= 3)
            server.status = 200
            await pool.until(lambda: len(pool.recorded) >= 2)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("signalbox.signals")]
    assert len(said) == 2
    assert a.address in said[0]
    assert "status 503" in said[0]
    assert "metrics are back" in said[1]


async def test_a_server_that_is_down_is_found_when_it_comes_up() -> None:
    async with serving(Server()) as a:
        pass
    pool = FakePool(a)
    async with polling(MetricsPoller(pool, interval=0.002)):
        await pool.until(lambda: bool(pool.failed))
        async with serving(Server(), port=a.port):
            await pool.until(lambda: bool(pool.recorded))


async def test_a_page_of_another_engine_is_a_failure_that_names_the_label(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.page = "sglang:num_queue_reqs 4\n"
    async with serving(server) as a:
        pool = FakePool(a)
        async with polling(MetricsPoller(pool, interval=0.002)):
            await pool.until(lambda: bool(pool.failed))
            labelled = replace(a, labels={"inference.networking.k8s.io/engine-type": "sglang"})
            pool.change(labelled)
            await pool.until(lambda: bool(pool.recorded))
    assert "inference.networking.k8s.io/engine-type" in caplog.text
    assert pool.recorded[0][1] == Readings(waiting=4)


async def test_a_partial_page_is_a_reading() -> None:
    server = Server()
    server.page = "vllm:num_requests_running 4\nvllm:num_requests_waiting oops\n"
    async with serving(server) as a:
        pool = FakePool(a)
        async with polling(MetricsPoller(pool, interval=0.002)):
            await pool.until(lambda: bool(pool.recorded))
    assert pool.recorded[0][1] == Readings(running=4)
    assert not pool.failed


async def test_endpoints_come_and_go_with_the_pool() -> None:
    one, two = Server(), Server()
    async with serving(one, "a") as a, serving(two, "b") as b:
        pool = FakePool(a)
        poller = MetricsPoller(pool, interval=0.002)
        async with polling(poller):
            await pool.until(lambda: bool(pool.readings("a")))
            pool.change(b)
            poller.wake()
            await pool.until(lambda: bool(pool.readings("b")))
            scraped = pool.marks.count("a")
            await pool.until(lambda: len(pool.readings("b")) >= 5)
            assert pool.marks.count("a") == scraped
            pool.change()
            poller.wake()


async def test_nothing_is_recorded_for_an_endpoint_that_left_during_a_scrape() -> None:
    server, other = Server(), Server()
    server.gate.clear()
    async with serving(server, "a") as a, serving(other, "b") as b:
        pool = FakePool(a)
        poller = MetricsPoller(pool, interval=0.002, timeout=SOON)
        async with polling(poller):
            await pool.until(lambda: "a" in pool.marks)
            pool.change(b)
            poller.wake()
            await pool.until(lambda: bool(pool.readings("b")))
            server.gate.set()
            await pool.until(lambda: len(pool.readings("b")) >= 5)
    assert not pool.readings("a")
    assert not [name for name, _ in pool.failed if name == "a"]


async def test_a_wake_is_not_needed_for_a_change_to_be_seen() -> None:
    async with serving(Server(), "a") as a:
        pool = FakePool()
        async with polling(MetricsPoller(pool, interval=0.002)):
            pool.change(a)
            await pool.until(lambda: bool(pool.readings("a")))


async def test_the_interval_stretches_with_the_number_of_endpoints() -> None:
    async with serving(Server()) as a:
        crowd = tuple(replace(a, name=f"p{row}", row=row) for row in range(600))
        pool = FakePool(*crowd)
        poller = MetricsPoller(pool, interval=0.05, engines=ENGINES)
        assert poller.interval == 0.05
        async with polling(poller):
            await pool.until(lambda: bool(pool.marks))
            assert poller.interval > 0.3
            await pool.until(lambda: bool(pool.recorded))
            assert pool.intervals[0] > 0.3, "and the pool is told"
