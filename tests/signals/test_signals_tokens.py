"""Token ids are asked for over kept connections, remembered, and done without where nobody tells them in time."""

from __future__ import annotations

import asyncio
import json
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from signalbox.director import Arrival, Asking
from signalbox.director.asking import question
from signalbox.payloads import read_request
from signalbox.pool import Endpoint
from signalbox.scheduling.prefix.token_source import RENDER, TOKENIZE, TokenSource
from signalbox.signals import tokens as module
from signalbox.signals.token_answers import BadAnswer, read_tokens
from signalbox.signals.tokens import LATE, SHORTEST, TokenClient

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def packed(*ids: int) -> bytes:
    return array("I", ids).tobytes()


@asynccontextmanager
async def service(answer: Answer, port: int = 0) -> AsyncIterator[int]:
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    yield int(runner.addresses[0][1])
    await runner.cleanup()


def asking(port: int, prompt: str = "hello", *, backend: str = RENDER, timeout: float = 5.0) -> Asking:
    source = TokenSource(backend, "m", f"http://127.0.0.1:{port}/base" if backend == RENDER else "", timeout)
    body = json.dumps({"model": "m", "prompt": prompt, "stream": True}).encode()
    found = question(Arrival("/v1/completions", body), read_request("/v1/completions", body), source, 0.0)
    assert found is not None
    return found


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """Answers with three ids, and counts."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.bodies: list[Any] = []
        self.connections: set[object] = set()
        self.status = 200
        self.text = json.dumps([{"token_ids": [1, 2, 3], "features": None}])

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.paths.append(request.path)
        self.bodies.append(await request.json())
        self.connections.add(request.transport)
        return web.Response(text=self.text, status=self.status)


async def test_a_prompt_is_asked_for_once() -> None:
    answer = Counted()
    async with service(answer) as port:
        client = TokenClient(lambda: ())
        assert client.remembered(asking(port)) is None
        found = await client.ask(asking(port))
        assert found is not None
        assert found.sequences == (packed(1, 2, 3),)
        assert client.remembered(asking(port)) == found
        assert answer.paths == ["/base/v1/completions/render"]
        assert answer.bodies == [{"model": "m", "prompt": "hello"}]
        client.close()


async def test_connections_are_kept() -> None:
    answer = Counted()
    async with service(answer) as port:
        client = TokenClient(lambda: ())
        for number in range(5):
            assert await client.ask(asking(port, f"prompt {number}")) is not None
        assert len(answer.connections) == 1
        client.close()


async def test_a_connection_that_was_closed_meanwhile_is_made_again() -> None:
    answer = Counted()
    client = TokenClient(lambda: ())
    async with service(answer) as port:
        assert await client.ask(asking(port)) is not None
    async with service(answer, port):
        assert await client.ask(asking(port, "other")) is not None
    assert client.figures.failed == 0
    client.close()


async def test_a_service_that_is_not_there_is_left_alone_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    answer = Counted()
    async with service(answer) as port:
        pass
    client = TokenClient(lambda: (), clock)
    for _ in range(5):
        assert await client.ask(asking(port)) is None
    assert (client.figures.failed, client.figures.skipped) == (1, 4)
    assert client.outages == [f"127.0.0.1:{port}"]
    clock.now += SHORTEST
    assert await client.ask(asking(port)) is None
    assert client.figures.failed == 2
    assert len(caplog.records) == 1
    clock.now += 2 * SHORTEST
    async with service(answer, port):
        assert await client.ask(asking(port)) is not None
        assert client.outages == []
        client.close()


async def test_while_a_service_is_tried_again_nobody_else_waits_for_it() -> None:
    clock = Clock()
    came = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.Response:
        came.set()
        await go_on.wait()
        return web.Response(text='{"token_ids": [1]}')

    async with service(slow) as port:
        pass
    client = TokenClient(lambda: (), clock)
    assert await client.ask(asking(port)) is None
    clock.now += SHORTEST
    async with service(slow, port):
        trying = asyncio.create_task(client.ask(asking(port)))
        await came.wait()
        assert await client.ask(asking(port, "another")) is None
        go_on.set()
        assert await trying is not None
        client.close()


async def test_late_answers_are_not_waited_for() -> None:
    async def never(request: web.BaseRequest) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with service(never) as port:
        client = TokenClient(lambda: ())
        for _ in range(LATE):
            assert client.outages == []
            assert await client.ask(asking(port, timeout=0.01)) is None
        assert client.outages == [f"127.0.0.1:{port}"]
        client.close()


@pytest.mark.parametrize(("status", "text", "outage"), [
    (400, "", False), (422, "", False), (401, "", True), (403, "", True), (404, "", True), (405, "", True),
    (500, "", True), (200, "not json", True), (200, "{}", True),
])  # fmt: skip
async def test_an_answer_may_be_a_refusal_or_nonsense(status: int, text: str, outage: bool) -> None:
    answer = Counted()
    answer.status, answer.text = status, text
    async with service(answer) as port:
        client = TokenClient(lambda: ())
        assert await client.ask(asking(port)) is None
        assert bool(client.outages) is outage
        assert (client.figures.refused, client.figures.failed) == (not outage, outage)
        client.close()


async def test_the_pools_servers_are_asked_in_turn_and_those_that_left_are_not() -> None:
    answers = [Counted(), Counted()]
    for answer in answers:
        answer.text = '{"tokens": [1, 2]}'
    async with service(answers[0]) as first, service(answers[1]) as second:
        pods = [Endpoint(f"pod-{port}", "default", f"pod-{port}", "127.0.0.1", port, 0) for port in (first, second)]
        client = TokenClient(lambda: tuple(pods))
        for number in range(4):
            assert await client.ask(asking(0, str(number), backend=TOKENIZE)) is not None
        assert [answer.paths for answer in answers] == [["/tokenize"] * 2] * 2
        del pods[0]
        for number in range(4, 6):
            assert await client.ask(asking(0, str(number), backend=TOKENIZE)) is not None
        assert len(answers[0].paths) == 2
        pods.clear()
        assert await client.ask(asking(0, "nobody", backend=TOKENIZE)) is None
        client.close()


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2000)
    answer = Counted()
    async with service(answer) as port:
        client = TokenClient(lambda: ())
        for number in range(20):
            await client.ask(asking(port, f"prompt {number}"))
        assert client.remembered(asking(port, "prompt 19")) is not None
        assert client.remembered(asking(port, "prompt 0")) is None
        client.close()


async def test_too_many_questions_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 0)
    client = TokenClient(lambda: ())
    assert await client.ask(asking(1)) is None
    assert client.figures.skipped == 1


def test_media_have_their_hash_and_place() -> None:
    answer = {
        "token_ids": [1, 2, 3],
        "features": {
            "mm_hashes": {"video": ["v"], "image": ["a", None]},
            "mm_placeholders": {"image": [{"offset": 5, "length": 2}, {"offset": 9, "length": 1}],
                                "video": [{"offset": 1, "length": 3}]},
        },
    }  # fmt: skip
    assert read_tokens(json.dumps(answer).encode()).media == (("v", 1, 3), ("a", 5, 2))


@pytest.mark.parametrize("answer", [b"", b"[", b"3", b'{"tokens": [-1]}', b'{"tokens": ["a"]}', b'{"tokens": null}'])
def test_nonsense_is_no_answer(answer: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_tokens(answer)
