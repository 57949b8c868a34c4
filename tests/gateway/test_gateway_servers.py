"""Servers given by URL."""

import socket

import pytest
from tests.gateway.gateway_manifests import POOL, one

from signalbox.gateway.desired import routing_gaps, sort_out
from signalbox.gateway.servers import BadServer, ServerURL, made_up_resources, parse_server, pool_for, resolve
from signalbox.resources import InferencePool


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("http://10.0.0.5:8000", "10.0.0.5", 8000),
        ("http://gpu.example/", "gpu.example", 80),
        ("gpu.example:9000", "gpu.example", 9000),
        ("http://[::1]:8000/v1", "::1", 8000),
    ],
)
def test_a_server_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert parse_server(text) == ServerURL(text, host, port)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://x", "upstream TLS is not supported yet"),
        ("ftp://x", "'ftp' is not http"),
        ("http://", "a host is missing"),
        ("http://x:0", "a host is missing"),
        ("http://x:port", "not a number from 1 to 65535"),
        ("http://x:99999", "not a number from 1 to 65535"),
        ("http://x/api", "only host and port"),
        ("http://user@x", "only host and port"),
    ],
)
def test_what_is_not_a_server_is_named_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(BadServer, match=message) as caught:
        parse_server(text)
    assert text in str(caught.value)


def test_addresses_are_taken_as_they_are_and_names_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if host == "unknown":
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET6, 0, 0, "", ("::9", port)), (socket.AF_INET, 0, 0, "", ("10.0.0.9", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert resolve(parse_server("http://[::1]:1")) == "::1"
    assert resolve(parse_server("http://gpu:1")) == "10.0.0.9"
    with pytest.raises(BadServer, match="'unknown' is not known"):
        resolve(parse_server("http://unknown:1"))


def test_servers_need_exactly_one_pool() -> None:
    server = parse_server("http://x:1")
    pool = one(InferencePool, POOL)
    other = one(InferencePool, POOL.replace("name: pool", "name: second"))
    assert pool_for([server], (pool,)) is pool
    with pytest.raises(BadServer, match=r"several InferencePools \(pool, second\)"):
        pool_for([server], (pool, other))
    with pytest.raises(BadServer, match="no InferencePool"):
        pool_for([server], ())


def test_without_manifests_a_complete_gateway_is_made_up() -> None:
    desired = sort_out(made_up_resources([parse_server("http://x:9000")]))
    (pool,) = desired.pools
    assert [port.number for port in pool.spec.target_ports] == [9000]
    assert routing_gaps(desired) == ()
    assert desired.policies == (), "model names pass through"
