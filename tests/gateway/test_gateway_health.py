"""Probes in real time."""

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from signalbox.gateway.health import Ask, Failure, HealthWatch, accepts_connections, answers, asking
from signalbox.gateway.probes import Method, Probe, Probes, Role, Timing

PATIENCE = 20.0
OFTEN = Timing(period=0.01, failure_threshold=2)


class Answers:
    """Answers probes from a script; the last answer is given again for ever."""

    def __init__(self, *script: bool) -> None:
        self._script = list(script)

    async def __call__(self, probe: Probe) -> Failure | None:
        success = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        return None if success else Failure("answered 503", answered=True)


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

    async def slow(probe: Probe) -> Failure | None:
        asked.set()
        await go_on.wait()
        return None

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
        assert found == [None, None, None, Failure("answered 400", True), Failure("answered 503", True)]


async def test_a_failure_says_what_was_asked_and_what_came(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        ask = asking(session, "127.0.0.1", {8000: port})
        url = f"http://127.0.0.1:{port}/404"
        assert await ask(Probe(Method.HTTP, 8000, path="/404")) == Failure(f"GET {url} answered 404", True)
        assert await ask(Probe(Method.HTTP, 1)) == Failure("GET http://127.0.0.1:1/ connection refused")
        assert await ask(Probe(Method.TCP, 1)) == Failure("TCP 127.0.0.1:1 connection refused")
        with socket.create_server(("127.0.0.1", 0)) as listener:  # it accepts, and never reads
            silent = listener.getsockname()[1]
            failure = await ask(Probe(Method.HTTP, silent, Timing(timeout=0.05)))
            assert failure == Failure(f"GET http://127.0.0.1:{silent}/ got no answer within 0.05 s")


async def test_checks_go_to_the_pods_address_with_path_headers_and_the_port_it_really_has(port: int) -> None:
    async with aiohttp.ClientSession() as session:
        ask = asking(session, "127.0.0.1", {8000: port})
        assert await ask(Probe(Method.HTTP, 8000, path="/200")) is None
        assert await ask(Probe(Method.HTTP, 8000, path="200", headers=(("X", "fail"),)))
        assert await ask(Probe(Method.TCP, 8000)) is None
        assert await accepts_connections("127.0.0.1", 1, PATIENCE)


class Watched:
    """A watch whose readiness probe fails as told, at moments of the test's choosing."""

    def __init__(self, **options: float) -> None:
        self.now = 100.0
        self.outcome: Failure | None = None
        self.told: list[str] = []
        probe = Probe(Method.HTTP, 1, Timing(failure_threshold=1), place="spec.x")
        ask: Ask = self._ask
        self.watch = HealthWatch(
            Probes(readiness=probe), ask, lambda: None, lambda role: None, lambda: self.now, self._trouble, **options
        )
        self.watch.process_started()

    async def check(self, at: float, reason: str | None, *, answered: bool = True) -> str:
        self.now, self.outcome = 100.0 + at, None if reason is None else Failure(reason, answered)
        await self.watch._check(Role.READINESS)
        return self.watch.trouble

    async def _ask(self, probe: Probe) -> Failure | None:
        return self.outcome

    def _trouble(self) -> None:
        self.told.append(self.watch.trouble)


async def test_a_process_that_answers_and_does_not_get_ready_is_explained_after_a_while_and_once() -> None:
    watched = Watched()
    assert await watched.check(1.0, "answered 404") == ""
    assert await watched.check(3.9, "answered 404") == ""
    assert await watched.check(4.0, "answered 404") == "readiness probe answered 404 (spec.x)"
    await watched.check(5.0, "answered 404")
    await watched.check(6.0, "answered 500")
    assert watched.told == [f"readiness probe answered {status} (spec.x)" for status in (404, 500)]
    assert await watched.check(7.0, None) == ""


async def test_a_process_that_says_nothing_may_be_starting_for_longer() -> None:
    watched = Watched()
    assert await watched.check(9.9, "connection refused", answered=False) == ""
    assert "connection refused" in await watched.check(10.0, "connection refused", answered=False)
    impatient = Watched(silent=0.0)
    assert "connection refused" in await impatient.check(0.0, "connection refused", answered=False)


async def test_losing_readiness_is_explained_at_once_and_a_new_process_begins_anew() -> None:
    watched = Watched()
    await watched.check(1.0, None)
    assert "answered 503" in await watched.check(1.1, "answered 503")
    watched.watch.process_started()
    assert watched.watch.trouble == ""
    assert await watched.check(1.2, "answered 503") == ""
