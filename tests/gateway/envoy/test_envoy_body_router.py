"""A real Envoy routes by what body-based routing finds in the body, in each way to send it the body."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from tests.cli.body_routers import PLAIN, running
from tests.gateway.envoy.conftest import StartGateway, StartServers
from tests.gateway.envoy.documents import gateway, options, path, pool, route, to
from tests.gateway.envoy.fake_picker import FakePicker
from tests.gateway.envoy.harness import Answer, RealGateway, Server

from signalbox.cli.bbr import BodyRouter
from signalbox.gateway.envoy import translate
from signalbox.gateway.envoy.bodyrouter import CLUSTER, NAME, routes_by_model
from signalbox.gateway.envoy.pickerfilter import PICKER
from signalbox.resources import FailureMode

DUPLEX = {"request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND"}


def by_model(name: str, **more: Any) -> dict[str, Any]:
    """A match on the model."""
    return path("/", headers=[{"name": "X-Gateway-Model-Name", "value": name}], **more)


@pytest.fixture
async def router() -> AsyncIterator[BodyRouter]:
    """Body-based routing in this process."""
    async with running(PLAIN, "--body-limit", "8") as (router, _):
        yield router


async def serve(site: RealGateway, router: BodyRouter, picker: FakePicker, servers: list[Server], **mode: str) -> None:
    """Two pools by model, and a third without: two that are asked about, all with one picker."""
    address = f"127.0.0.1:{picker.port}"
    pools = [
        pool(name, server.address, picker=address, failure_mode=failure_mode)
        for name, server, failure_mode in zip(
            ("one", "two"), servers, (FailureMode.FAIL_CLOSE, FailureMode.FAIL_OPEN), strict=True
        )
    ]
    routes = [route(to("one", by_model("one")), to("two", by_model("two")))]
    settings = options(site.directory, gateway(), port=site.port, body_router=f"127.0.0.1:{router.grpc_port}")
    config = translate([gateway()], routes, pools, [], replace(settings, body_limit=8 << 20))
    (listener,) = config.listeners
    filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    (body_filter,) = [one["typed_config"] for one in filters if one["name"] == NAME]
    body_filter["processing_mode"] = {**body_filter["processing_mode"], **mode}
    body_filter["allow_mode_override"] = True
    version = site.files.write(replace(config, listeners=(listener,)))
    await site.envoy.start()
    await site.envoy.ready(20)
    await site.envoy.applied(version, 20)


@pytest.mark.e2e
@pytest.mark.parametrize(
    "mode",
    [
        {},
        {"response_header_mode": "SEND", "response_body_mode": "STREAMED"},
        {"response_header_mode": "SEND", "response_body_mode": "BUFFERED"},
        {"request_body_mode": "STREAMED"},
        {"request_body_mode": "BUFFERED_PARTIAL"},
        DUPLEX,
        {**DUPLEX, "response_header_mode": "SEND", "response_body_mode": "STREAMED"},
    ],
    ids=["ours", "answers too", "buffered answers too", "STREAMED", "PARTIAL", "DUPLEX", "DUPLEX, answers too"],
)
async def test_the_model_decides_and_the_body_arrives_as_it_was_sent(
    mode: dict[str, str],
    router: BodyRouter,
    start_gateway: StartGateway,
    start_servers: StartServers,
    picker: FakePicker,
) -> None:
    servers = await start_servers(2)
    site = await start_gateway()
    await serve(site, router, picker, servers, **mode)
    where = {server.address: name for name, server in zip(("one", "two"), servers, strict=True)}

    async def ask(model: str, size: int = 100) -> Answer:
        data = json.dumps({"model": model, "prompt": "é" * size}, ensure_ascii=False).encode()
        picks = next((address for address, name in where.items() if name == model), "")
        answer = await site.ask("/echo", data=data, x_pick=picks)
        if answer.status == 200:
            assert answer.json["sha256"] == hashlib.sha256(data).hexdigest()
            assert answer.json["headers"]["x-gateway-model-name"] == model
        return answer

    for model in ("one", "two", "one"):
        assert where[(await ask(model)).server] == model
    assert (await ask("three")).status == 404
    asked = picker.streams
    assert asked == 3
    assert (await site.ask("/echo", "GET")).status == 404
    assert picker.streams == asked, "no picker is asked about what no route takes"


@pytest.mark.e2e
async def test_a_long_body_is_held_up_to_the_limit(
    router: BodyRouter, start_gateway: StartGateway, start_servers: StartServers, picker: FakePicker
) -> None:
    servers = await start_servers(2)
    site = await start_gateway()
    await serve(site, router, picker, servers)
    for megabytes, status in ((5, 200), (9, 413)):
        data = b'{"model": "two", "prompt": "%s"}' % (b"x" * (megabytes << 20))
        answer = await site.ask("/echo", data=data, x_pick=servers[1].address)
        assert answer.status == status


def test_routes_that_need_the_body_are_told_from_others() -> None:
    assert routes_by_model(route(to("one", by_model("one"))))
    assert routes_by_model(route(to("one", path("/", headers=[{"name": "x-gateway-BASE-model-name", "value": "b"}]))))
    assert not routes_by_model(route(to("one", path("/", headers=[{"name": "X-Tier", "value": "gold"}]))))
    assert not routes_by_model(route(to("one")))


def test_only_listeners_whose_routes_need_it_have_the_filter(tmp_path: Any) -> None:
    first, second = gateway(), gateway({"name": "other", "port": 81}, name="gw2")
    settings = replace(
        options(tmp_path, first),
        ports={**options(tmp_path, first).ports, **options(tmp_path, second, port=8081).ports},
        body_router="127.0.0.1:9004",
    )
    routes = [route(to("p", by_model("m"))), route(to("p"), name="plain", parents=({"name": "gw2"},))]
    config = translate([first, second], routes, [pool("p", "127.0.0.2:8000")], [], settings)
    found = {}
    for listener in config.listeners:
        filters = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        found[listener["name"]] = [(each["name"], each.get("disabled", False)) for each in filters]
    assert [name for name, _ in found["port-8080"]][:2] == [NAME, PICKER]
    assert not any(disabled for _, disabled in found["port-8080"]), "the chain is built before the route is known"
    assert found["port-8081"][0] == (PICKER, True)
    assert [cluster["name"] for cluster in config.clusters].count(CLUSTER) == 1
    (own,) = [each for each in config.routes if each["name"] == "port-8080"]
    assert [each["name"] for each in own["virtual_hosts"][0]["routes"]] == ["default/route/0/0", "no-route"]


def test_without_its_address_nothing_is_different(tmp_path: Any) -> None:
    routes = [route(to("p", by_model("m")))]
    config = translate([gateway()], routes, [pool("p", "127.0.0.2:8000")], [], options(tmp_path, gateway()))
    assert CLUSTER not in [cluster["name"] for cluster in config.clusters]
    assert NAME not in str(config.listeners)
