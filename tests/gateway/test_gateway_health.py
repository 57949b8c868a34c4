"""Probes in real time."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from signalbox.gateway.health import HealthWatch, accepts_connections, answers, asking
from signalbox.gateway.probes import Method, Probe, Probes, Role, Timing

PATIENCE = 20.0
OFTEN = Timing(period=0.01, failure_threshold=2)


class Answers:
    """Answers probes from a script; the last answer is given again for ever."""

    def __init__(self, *script: bool) -> None:
        self._script = list(script)

    async def __call__(self, probe: Probe) -> bool:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]


async def test_a_process_gets_ready_and_loses_readiness() -> None:
    changes: asyncio.Queue[bool] = asyncio.Queue()
    probes = Probes(readiness=Probe(Method.HTTP, 1, OFTEN))
    ask = Answers(False, True, True, False, False, True)
    watch = HealthWatch(probes, ask, lambda: changes.put_nowait(watch.ready), lambda role: None)
    task = asyncio.create_task(watch.run())
    watch.process_started()
    assert [await asyncio.wait_for(changes.get(), PATIENCE) for _ in range(3)] == [True, False, True]
    watch.process_ended()
    assert changes.get_nowait() is False
    task.cancel()


async def test_a_process_that_fails_its_liveness_is_to_be_restarted() -> None:
    asked: asyncio.Queue[Role] = asyncio.Queue()
    probes = Probes(liveness=Probe(Method.HTTP, 1, OFTEN))
    watch = HealthWatch(probes, Answers(False), lambda: None, asked.put_nowait)
    task = asyncio.create_task(watch.run())
    watch.process_started()
    assert await asyncio.wait_for(asked.get(), PATIENCE) is Role.LIVENESS
    assert not watch.ready
    task.cancel()


async def test_an_answer_about_a_process_that_has_ended_counts_for_nothing() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(probe: Probe) -> bool:
        asked.set()
        await go_on.wait()
        return True

    watch = HealthWatch(Probes(readiness=Probe(Method.HTTP, 1, OFTEN)), slow, lambda: None, lambda role: None)
    watch.process_started()
    check = asyncio.create_task(watch._check(Role.READINESS))
    await asked.wait()
    watch.process_ended()
    go_on.set()
    await check
    assert not watch.ready


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def page(request: web.Request) -> web.Response:
        status = int(request.path.strip("/"))
        return web.Response(status=status if request.headers.get("X") != "fail" else 500)

    app = web.Application()
    app.router.add_get("/{status}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def test_success_is_200_to_399_as_for_a_kubelet(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}"
        found = [await answers(session, f"{url}/{status}", PATIENCE) for status in (200, 302, 399, 400, 503)]
        assert found == [True, True, True, False, False]
        assert not await answers(session, "http://127.0.0.1:1/200", PATIENCE)


async def test_checks_go_to_the_pods_address_with_path_headers_and_the_port_it_really_has(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        ask = asking(session, "127.0.0.1", {8000: port})
        assert await ask(Probe(Method.HTTP, 8000, path="/200"))
        assert not await ask(Probe(Method.HTTP, 8000, path="200", headers=(("X", "fail"),)))
        assert await ask(Probe(Method.TCP, 8000))
        assert not await accepts_connections("127.0.0.1", 1, PATIENCE)
