"""What a pool's picker says is done, and what becomes of requests and answers when it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.gateway.envoy.conftest import StartGateway, StartServers
from tests.gateway.envoy.documents import gateway, pool, route, to
from tests.gateway.envoy.fake_picker import FakePicker
from tests.gateway.envoy.harness import PickerProcess, Server, free_port

from signalbox.resources import FailureMode

pytestmark = pytest.mark.e2e

OPEN, CLOSE = FailureMode.FAIL_OPEN, FailureMode.FAIL_CLOSE
BOTH = pytest.mark.parametrize("mode", [OPEN, CLOSE])


def addresses(servers: list[Server]) -> list[str]:
    return [server.address for server in servers]


async def test_the_picker_chooses_the_endpoint_and_may_replace_the_body(
    start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    servers = await start_servers(3)
    site = await start_gateway()
    await site.serve(
        [gateway()],
        [route(to("llama-3.1"))],
        [pool("llama-3.1", *addresses(servers), picker=f"127.0.0.1:{picker.port}")],
    )

    for server in servers:
        for method in ("POST", "GET"):
            assert (await site.ask("/v1/x", method, x_pick=server.address)).server == server.address
    doubled = await site.ask("/v1/x", data=b"x" * 70_000, x_pick=servers[1].address, x_behaviour="duplicate")
    assert doubled.json["length"] == 140_000
    assert doubled.json["headers"]["content-length"] == "140000"
    assert doubled.json["headers"]["x-gateway-destination-endpoint"] == servers[1].address


async def test_a_chunked_body_may_be_replaced_too(
    start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()
    await site.serve([gateway()], [route(to("p"))], [pool("p", server.address, picker=f"127.0.0.1:{picker.port}")])

    async def chunks() -> AsyncIterator[bytes]:
        for size in (1, 20_000, 3):
            yield b"x" * size

    headers = {"x-pick": server.address, "x-behaviour": "duplicate"}
    async with site.client.post(site.url("/v1/x"), data=chunks(), headers=headers) as answer:
        assert (await answer.json())["length"] == 2 * 20_004


async def test_a_dead_first_choice_is_retried_on_the_next_the_picker_named(
    start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    servers = await start_servers(3)
    dead = f"127.0.0.1:{free_port()}"
    site = await start_gateway()
    backend = pool("p", dead, *addresses(servers), picker=f"127.0.0.1:{picker.port}")
    await site.serve([gateway()], [route(to("p"))], [backend])

    for server in servers:
        for _ in range(5):
            assert (await site.ask("/v1/x", x_pick=f"{dead},{server.address}")).server == server.address
    assert (await site.ask("/v1/x", x_pick=dead)).status == 200  # no second choice named: any other
    assert (await site.ask("/v1/x", x_pick="127.0.0.1:1")).status == 200  # not of this pool: never tried


async def test_the_picker_is_told_which_endpoint_took_the_request(
    start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    first, second = await start_servers(2)
    dead = f"127.0.0.1:{free_port()}"
    site = await start_gateway()
    backend = pool("p", dead, first.address, second.address, picker=f"127.0.0.1:{picker.port}")
    await site.serve([gateway()], [route(to("p"))], [backend])

    asked = {
        f"{first.address},{second.address}": first.address,
        f"{dead},{second.address}": second.address,
    }
    for named, served in asked.items():
        answer = await site.ask("/v1/x", x_pick=named)
        assert (answer.server, answer.headers["x-served"]) == (served, served)
    for nobody in (dead, "127.0.0.1:1"):  # left to the fallback policy
        answer = await site.ask("/v1/x", x_pick=nobody)
        assert answer.headers["x-served"] == answer.server


async def test_an_immediate_answer_of_the_picker_is_passed_on_untouched(
    start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()
    await site.serve([gateway()], [route(to("p"))], [pool("p", server.address, picker=f"127.0.0.1:{picker.port}")])

    for details in ("", "model_not_found"):
        answer = await site.ask("/v1/x", x_behaviour="refuse", x_details=details)
        assert (answer.status, answer.body) == (429, b'{"error": "said by the picker"}')
        assert "x-request-id" in answer.headers


async def test_a_picker_that_is_gone_opens_or_closes_its_pool_as_the_pool_says(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    servers = await start_servers(2)
    gone = f"127.0.0.1:{free_port()}"
    backends = [pool(str(mode).lower(), *addresses(servers), picker=gone, failure_mode=mode) for mode in (OPEN, CLOSE)]
    routes = [
        route(
            to("failopen", {"path": {"type": "PathPrefix", "value": "/open"}}),
            to("failclose", {"path": {"type": "PathPrefix", "value": "/close"}}),
        )
    ]
    site = await start_gateway()
    await site.serve([gateway()], routes, backends)

    wish = {"x-gateway-destination-endpoint": servers[0].address}
    answers = [await site.ask("/open/x", also=wish) for _ in range(24)]
    assert {answer.status for answer in answers} == {200}
    # A client's own wish is not heard: both servers are reached, and neither sees the header.
    assert {answer.server for answer in answers} == set(addresses(servers))
    assert all("x-gateway-destination-endpoint" not in answer.json["headers"] for answer in answers)

    refused = await site.ask("/close/x", also=wish)
    assert (refused.status, refused.json["error"]["code"]) == (503, "endpoint_picker_unavailable")
    assert refused.json["error"]["type"] == "server_error"
    assert (await site.ask("/close/x", "GET")).status == 503


@BOTH
async def test_a_picker_that_ends_its_stream_without_an_answer_counts_as_gone(
    mode: FailureMode, start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    (server,) = await start_servers(1)
    backend = pool("p", server.address, picker=f"127.0.0.1:{picker.port}", failure_mode=mode)
    site = await start_gateway()
    await site.serve([gateway()], [route(to("p"))], [backend])

    assert (await site.ask("/v1/x", x_behaviour="close")).status == (200 if mode is OPEN else 503)


@BOTH
async def test_a_picker_that_does_not_answer_in_time_counts_as_gone(
    mode: FailureMode, start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    (server,) = await start_servers(1)
    backend = pool("p", server.address, picker=f"127.0.0.1:{picker.port}", failure_mode=mode)
    site = await start_gateway(message_timeout=0.3)
    await site.serve([gateway()], [route(to("p"))], [backend])

    assert (await site.ask("/v1/x", x_behaviour="hang")).status == (200 if mode is OPEN else 503)


async def test_a_picker_that_is_frozen_is_found_by_its_silence(
    start_gateway: StartGateway, start_servers: StartServers, picker_process: PickerProcess
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()  # its message timeout, 600 s, is longer than the client waits
    backend = pool("p", server.address, picker=picker_process.address, failure_mode=OPEN)
    await site.serve([gateway()], [route(to("p"))], [backend])
    assert (await site.ask("/v1/x", x_pick=server.address)).status == 200

    picker_process.freeze()
    assert (await site.ask("/v1/x", x_pick=server.address)).status == 200


@BOTH
async def test_an_answer_that_has_begun_survives_the_death_of_its_picker(
    mode: FailureMode, start_gateway: StartGateway, start_servers: StartServers, picker_process: PickerProcess
) -> None:
    (server,) = await start_servers(1)
    backend = pool("p", server.address, picker=picker_process.address, failure_mode=mode)
    site = await start_gateway()
    await site.serve([gateway()], [route(to("p"))], [backend])

    asked = asyncio.create_task(site.ask("/stream", x_pick=server.address))
    await server.streaming.wait()
    await picker_process.kill()
    server.go_on.set()
    answer = await asked
    assert answer.status == 200
    assert answer.body.count(b"data: ") == 22
    assert answer.body.endswith(b"data: [DONE]\n\n")


@BOTH
async def test_a_picker_killed_and_restarted_under_load(
    mode: FailureMode, start_gateway: StartGateway, start_servers: StartServers, picker_process: PickerProcess
) -> None:
    servers = await start_servers(2)
    backend = pool("p", *addresses(servers), picker=picker_process.address, failure_mode=mode)
    site = await start_gateway()
    await site.serve([gateway()], [route(to("p"))], [backend])
    statuses: list[int] = []
    enough = asyncio.Event()

    async def load() -> None:
        while not enough.is_set():
            statuses.append((await site.ask("/v1/x", x_pick=servers[0].address)).status)

    async def more(count: int) -> None:
        goal = len(statuses) + count
        while len(statuses) < goal:
            await site.ask("/v1/x", x_pick=servers[0].address)

    workers = [asyncio.create_task(load()) for _ in range(4)]
    await more(40)
    await picker_process.kill()
    await more(40)
    await picker_process.start()
    enough.set()
    await asyncio.gather(*workers)

    assert set(statuses) == {200} if mode is OPEN else {200, 503}
    assert (set(statuses) == {200}) == (mode is OPEN)


async def test_a_body_over_the_limit_gets_413_and_one_at_the_limit_passes(
    start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    (server,) = await start_servers(1)
    limit = 3 * 1024 * 1024
    site = await start_gateway(body_limit=limit)
    await site.serve([gateway()], [route(to("p"))], [pool("p", server.address, picker=f"127.0.0.1:{picker.port}")])

    fits = await site.ask("/v1/x", data=b"x" * limit, x_pick=server.address)
    assert (fits.status, fits.json["length"]) == (200, limit)
    over = await site.ask("/v1/x", data=b"x" * (limit + 1), x_pick=server.address)
    assert (over.status, over.json["error"]["code"]) == (413, "request_too_large")
    assert str(limit) in over.json["error"]["message"]
