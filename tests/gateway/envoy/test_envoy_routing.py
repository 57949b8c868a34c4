"""A real Envoy routes as the HTTPRoutes say."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from tests.gateway.envoy.conftest import StartGateway, StartServers
from tests.gateway.envoy.documents import POOL, gateway, path, pool, route, service
from tests.gateway.envoy.fake_picker import FakePicker

from signalbox.resources import FailureMode

pytestmark = pytest.mark.e2e


async def test_requests_go_where_path_header_method_query_and_hostname_say(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    servers = await start_servers(6)
    names = ("prefix", "exact", "header", "method", "query", "host")
    services = [service(name, 80, server.address) for name, server in zip(names, servers, strict=True)]
    owner = {server.address: name for name, server in zip(names, servers, strict=True)}

    def rule(name: str, *matches: dict[str, object]) -> dict[str, object]:
        return {"matches": list(matches), "backendRefs": [{"name": name, "port": 80}]}

    site = await start_gateway()
    main = route(
        rule("prefix", path("/v1")),
        rule("exact", path("/v1/models", "Exact")),
        rule("header", path("/v1", headers=[{"name": "X-Tier", "value": "gold"}])),
        rule("method", path("/v1", method="DELETE")),
        rule("query", path("/v1", queryParams=[{"name": "beta", "value": "1"}])),
    )
    hosted = route(rule("host", path("/v1/only")), name="hosted", hostnames=("*.llm.example",))
    await site.serve([gateway()], [main, hosted], services=services)

    async def reached(target: str, method: str = "POST", **headers: str) -> str:
        answer = await site.ask(target, method, also=headers)
        return owner.get(answer.server, str(answer.status))

    assert await reached("/v1/completions") == "prefix"
    assert await reached("/v1") == "prefix"
    assert await reached("/v1/models") == "exact"
    assert await reached("/v1/models/") == "prefix"
    assert await reached("/v1/x", **{"x-tier": "gold"}) == "header"
    assert await reached("/v1/x", "DELETE", **{"x-tier": "gold"}) == "method"
    assert await reached("/v1/x?beta=1") == "query"
    assert await reached("/v1x") == "404"
    assert await reached("/v1/only", Host="a.llm.example:8080") == "host"
    assert await reached("/v1/else", Host="a.llm.example") == "prefix"
    assert await reached("/v1/only", Host="llm.example") == "prefix"


async def test_header_modifiers_and_rewrites_reach_the_server_and_the_client(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    (server,) = await start_servers(1)
    request = {
        "set": [{"name": "x-set", "value": "100%"}],
        "add": [{"name": "x-add", "value": "b"}],
        "remove": ["x-no"],
    }
    answer = {"set": [{"name": "x-answer", "value": "yes"}], "remove": ["x-server"]}
    changed = {
        "matches": [path("/old")],
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": request},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": answer},
            {
                "type": "URLRewrite",
                "urlRewrite": {
                    "hostname": "inner",
                    "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"},
                },
            },
        ],
        "backendRefs": [{"name": "s", "port": 80}],
    }
    share = {"set": [{"name": "x-set", "value": "of the backend"}]}
    per_backend = {
        "matches": [path("/share")],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": request}],
        "backendRefs": [
            {
                "name": "s",
                "port": 80,
                "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": share}],
            }
        ],
    }
    moved = {
        "matches": [path("/moved")],
        "filters": [
            {"type": "RequestRedirect", "requestRedirect": {"statusCode": 301, "hostname": "there.example", "port": 81}}
        ],
    }
    site = await start_gateway()
    await site.serve([gateway()], [route(changed, per_backend, moved)], services=[service("s", 80, server.address)])

    seen = await site.ask("/old/x?q=1", x_set="mine", x_add="a", x_no="gone")
    assert seen.json["path"] == "/new/x?q=1"
    assert seen.json["headers"]["host"] == "inner"
    assert seen.json["headers"]["x-set"] == "100%"
    assert seen.json["headers"]["x-add"] == "a,b"
    assert "x-no" not in seen.json["headers"]
    assert (seen.headers["x-answer"], seen.server) == ("yes", "")

    assert (await site.ask("/share")).json["headers"]["x-set"] == "of the backend"
    redirected = await site.ask("/moved/on")
    assert (redirected.status, redirected.headers["location"]) == (301, "http://there.example:81/moved/on")


async def test_weights_split_between_pools_and_a_service_and_each_pool_asks_its_own_picker(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    servers = await start_servers(3)
    pickers = [FakePicker(), FakePicker()]
    for one in pickers:
        await one.start()
    site = await start_gateway()
    pools = [
        pool(f"p{n}", servers[n].address, picker=f"127.0.0.1:{pickers[n].port}", failure_mode=FailureMode.FAIL_OPEN)
        for n in range(2)
    ]
    shares = {
        "backendRefs": [
            {**POOL, "name": "p0", "weight": 50},
            {**POOL, "name": "p1", "weight": 30, "group": "inference.networking.x-k8s.io", "port": 4711},
            {"name": "s", "port": 80, "weight": 20},
            {"name": "never", "port": 80, "weight": 0},
        ]
    }
    await site.serve([gateway()], [route(shares)], pools, [service("s", 80, servers[2].address)])

    answers = await asyncio.gather(*(site.ask("/v1/x") for _ in range(300)))
    assert {answer.status for answer in answers} == {200}
    # Five standard deviations around the expected 150, 90 and 60.
    for server, low, high in zip(servers, (107, 51, 26), (193, 129, 94), strict=True):
        assert low <= server.requests <= high
    # The route cache was cleared by the pickers, and yet no request was drawn twice.
    assert [one.streams for one in pickers] == [servers[0].requests, servers[1].requests]
    for one in pickers:
        await one.server.stop(None)


async def test_the_share_of_a_backend_that_does_not_exist_gets_500(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    (server,) = await start_servers(1)
    half = {"backendRefs": [{"name": "s", "port": 80}, {"name": "gone", "port": 80}], "matches": [path("/half")]}
    none = {"backendRefs": [{**POOL, "name": "gone"}], "matches": [path("/none")]}
    empty = {"backendRefs": [{"name": "empty", "port": 80}], "matches": [path("/empty")]}
    site = await start_gateway()
    config = await site.serve(
        [gateway()], [route(half, none, empty)], services=[service("s", 80, server.address), service("empty", 80)]
    )

    statuses = Counter([(await site.ask("/half")).status for _ in range(60)])
    assert set(statuses) == {200, 500}
    missing = await site.ask("/none")
    assert (missing.status, missing.json["error"]["code"]) == (500, "no_backend")
    assert (await site.ask("/empty")).status == 503
    assert len(config.notes) == 2


async def test_a_request_timeout_answers_504(start_gateway: StartGateway, start_servers: StartServers) -> None:
    (server,) = await start_servers(1)
    backend = {"backendRefs": [{"name": "s", "port": 80}]}
    site = await start_gateway()
    rules = (
        {**backend, "matches": [path("/wait")], "timeouts": {"request": "100ms"}},
        {**backend, "matches": [path("/wait", method="PUT")], "timeouts": {"backendRequest": "100ms"}},
    )
    await site.serve([gateway()], [route(*rules)], services=[service("s", 80, server.address)])

    for method in ("POST", "PUT"):
        answer = await site.ask("/wait", method)
        assert (answer.status, answer.json["error"]["code"]) == (504, "timeout")


async def test_several_gateways_share_a_port_by_hostname(
    start_gateway: StartGateway, start_servers: StartServers
) -> None:
    first, second = await start_servers(2)
    gateways = [gateway({"hostname": "a.example"}, name="a"), gateway({"hostname": "*.b.example"}, name="b")]
    routes = [
        route({"backendRefs": [{"name": name, "port": 80}]}, name=name, parents=({"name": name},)) for name in "ab"
    ]
    site = await start_gateway()
    await site.serve(gateways, routes, services=[service("a", 80, first.address), service("b", 80, second.address)])

    assert (await site.ask("/", Host="a.example")).server == first.address
    assert (await site.ask("/", Host="x.y.B.example:1234")).server == second.address
    assert (await site.ask("/", Host="b.example")).status == 404


async def test_envoys_own_errors_are_openai_shaped_and_carry_the_request_id(start_gateway: StartGateway) -> None:
    site = await start_gateway()
    await site.serve([gateway()], [])

    answer = await site.ask("/v1/completions", x_request_id="mine-1")
    assert (answer.status, answer.headers["x-request-id"]) == (404, "mine-1")
    assert answer.json["error"]["code"] == "not_found"
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert "POST /v1/completions" in answer.json["error"]["message"]
    assert len((await site.ask("/")).headers["x-request-id"]) == 36
