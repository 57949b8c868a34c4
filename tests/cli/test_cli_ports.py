"""The three ports that picker and body-based routing open."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace

import pytest
from prometheus_client import CollectorRegistry

from signalbox.cli.ports import Ports
from signalbox.observability import MetricsServer
from signalbox.wire import GrpcServer, HealthService, ServerTls, ServingStatus


@dataclass(frozen=True)
class Options:
    host: str = "127.0.0.1"
    grpc_port: int = 0
    health_port: int = 0
    metrics_port: int = 0


def ports(options: Options, tls: ServerTls | None = None) -> Ports:
    health = GrpcServer(HealthService(lambda service: ServingStatus.SERVING).routes())
    return Ports(options, GrpcServer({}), health, MetricsServer(CollectorRegistry()), tls)


async def test_open_they_are_three_and_the_log_hears_where() -> None:
    opened = ports(Options())
    assert (opened.grpc, opened.health) == (0, 0)
    await opened.open()
    try:
        found = {opened.grpc, opened.health, opened.metrics}
        assert len(found) == 3
        for port in found:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        assert opened.places() == {
            "grpc_port": opened.grpc,
            "health_port": opened.health,
            "metrics_port": opened.metrics,
            "certificate": "none, plaintext",
        }
    finally:
        await opened.close()


async def test_over_tls_the_log_hears_of_the_certificate() -> None:
    opened = ports(Options(), ServerTls())
    await opened.open()
    try:
        assert "none" not in str(opened.places()["certificate"])
    finally:
        await opened.close()


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ("grpc_port", "ext_proc cannot listen on 127.0.0.1:{}: .*; choose another with --grpc-port$"),
        ("health_port", "health cannot listen on 127.0.0.1:{}: .*; choose another with --grpc-health-port$"),
        ("metrics_port", "metrics cannot listen on 127.0.0.1:{}: .*; choose another with --metrics-port$"),
    ],
)
async def test_a_port_that_is_taken_is_named_with_its_flag(field: str, problem: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = Options()
        opened = ports(replace(options, **{field: port}))
        with pytest.raises(OSError, match=problem.format(port)):
            await opened.open()
        await opened.close()


async def test_what_never_opened_is_closed_all_the_same() -> None:
    await ports(Options()).close()
