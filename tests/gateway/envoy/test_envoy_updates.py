"""A running Envoy takes changes without losing a request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
from tests.gateway.envoy.conftest import StartGateway, StartServers
from tests.gateway.envoy.documents import gateway, options, path, pool, route, service, to
from tests.gateway.envoy.fake_picker import FakePicker

from signalbox.gateway.envoy import ConfigRejected, Envoy, EnvoyError, EnvoyFiles, translate
from signalbox.gateway.envoy.layout import ACCESS_LOG
from signalbox.gateway.supervisor import Exited

pytestmark = pytest.mark.e2e


async def test_routes_and_backends_change_under_load_and_no_request_fails(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    servers = await start_servers(4)
    site = await start_gateway()
    last = 0

    async def switch(number: int) -> None:
        # Each round has a cluster of its own: the new one must be there before the route, the old one until after it.
        server = servers[number % len(servers)]
        rule = {"backendRefs": [{"name": f"s{number}", "port": 80}]}
        await site.serve([gateway()], [route(rule)], services=[service(f"s{number}", 80, server.address)])

    await switch(0)
    statuses: list[int] = []
    enough = asyncio.Event()

    async def load() -> None:
        while not enough.is_set():
            statuses.append((await site.ask("/v1/x")).status)

    workers = [asyncio.create_task(load()) for _ in range(4)]
    for last in range(1, 21):
        await switch(last)
        assert (await site.ask("/v1/x")).server == servers[last % len(servers)].address  # applied means in force
    enough.set()
    await asyncio.gather(*workers)
    assert set(statuses) == {200}


async def test_an_endpoint_that_leaves_finishes_its_answer(
    start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    leaving, staying = await start_servers(2)
    site = await start_gateway()
    address = f"127.0.0.1:{picker.port}"
    rules = [route(to("p"))]
    await site.serve([gateway()], rules, [pool("p", leaving.address, staying.address, picker=address)])

    asked = asyncio.create_task(site.ask("/stream", x_pick=leaving.address))
    await leaving.streaming.wait()
    await site.serve([gateway()], rules, [pool("p", staying.address, picker=address)])
    assert (await site.ask("/v1/x", x_pick=leaving.address)).server == staying.address
    leaving.go_on.set()
    assert (await asked).body.endswith(b"data: [DONE]\n\n")


async def test_a_refused_update_is_told_and_the_last_good_one_stays_even_over_a_restart(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()
    backend = [service("s", 80, server.address)]
    rule = {"backendRefs": [{"name": "s", "port": 80}]}
    await site.serve([gateway()], [route(rule)], services=backend)

    # Python takes this expression, Envoy's engine does not: its repetitions are bounded.
    broken = {"matches": [path("/x{1,5000}", "RegularExpression")], **rule}
    with pytest.raises(ConfigRejected, match="repetition"):
        await site.serve([gateway()], [route(broken)], services=backend)
    assert (await site.ask("/v1/x")).status == 200

    assert site.envoy.pid is not None
    os.kill(site.envoy.pid, signal.SIGKILL)
    await site.exited.wait()
    await site.envoy.ready()
    assert (await site.ask("/v1/x")).status == 200

    await site.serve([gateway()], [route({**rule, "matches": [path("/only")]})], services=backend)
    assert [(await site.ask(target)).status for target in ("/v1/x", "/only")] == [404, 200]


async def test_an_update_that_envoy_could_not_take_in_time_is_there_when_it_is_back(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()
    await site.serve([gateway()], [])
    config = translate(
        [gateway()],
        [route({"backendRefs": [{"name": "s", "port": 80}]})],
        [],
        [service("s", 80, server.address)],
        options(site.directory, gateway(), port=site.port),
    )
    assert site.envoy.pid is not None
    os.kill(site.envoy.pid, signal.SIGSTOP)
    with pytest.raises(EnvoyError, match="has not applied version"):
        await site.envoy.apply(site.files, config, timeout=0.1)
    os.kill(site.envoy.pid, signal.SIGCONT)
    await site.envoy.applied(site.files.version)
    assert (await site.ask("/")).status == 200


async def test_a_port_in_use_is_told(start_gateway: StartGateway) -> None:
    site = await start_gateway()
    await site.serve([gateway()], [])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = options(site.directory, gateway(), port=other.getsockname()[1])
        with pytest.raises(ConfigRejected, match="Address already in use"):
            await site.envoy.apply(site.files, translate([gateway()], [], [], [], taken))
    async with aiohttp.ClientSession() as fresh, fresh.get(site.url("/")) as answer:  # a new connection
        assert answer.status == 404


async def test_each_request_leaves_a_line_in_the_access_log(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    (server,) = await start_servers(1)
    site = await start_gateway()
    rule = {"backendRefs": [{"name": "s", "port": 80}]}
    await site.serve([gateway()], [route(rule)], services=[service("s", 80, server.address)])
    await site.ask("/v1/x?q=1", x_request_id="mine-2")
    await site.envoy.stop()  # Envoy writes what it holds back when it ends

    (line,) = (site.directory / ACCESS_LOG).read_text().splitlines()
    entry = json.loads(line)
    assert (entry["request_id"], entry["method"], entry["path"]) == ("mine-2", "POST", "/v1/x?q=1")
    assert (entry["status"], entry["flags"], entry["upstream"]) == (200, "-", server.address)
    assert (entry["bytes_received"], entry["cluster"]) == (2, "service/default/s/80")
    assert entry["duration_ms"] >= entry["first_byte_ms"] >= 0


async def test_an_envoy_that_cannot_start_says_why(tmp_path: Path) -> None:
    EnvoyFiles(tmp_path)
    (tmp_path / "bootstrap.json").write_text("{")
    ended: list[Exited] = []
    envoy = Envoy(tmp_path, on_exit=ended.append)
    await envoy.start()
    with pytest.raises(EnvoyError, match=r"not ready after 1 s: .*Unable to parse JSON"):
        await envoy.ready(timeout=1.0)
    await envoy.stop()
    assert ended[0].status != 0
    assert envoy.pid is None
    assert envoy.admin_address is None
