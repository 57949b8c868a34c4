"""What a gRPC server counts, as metrics and in the log."""

from __future__ import annotations

import asyncio
import logging

import pytest
from prometheus_client import CollectorRegistry

from signalbox.observability import TransportCollector
from signalbox.wire import GrpcServer, Limits, ServerTls
from signalbox.wire.frames import PREFACE, SETTINGS_ACK, settings

GREETING = PREFACE + settings(()) + SETTINGS_ACK


async def given_up(server: GrpcServer, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_an_attack_shows_in_the_metrics_and_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    registry = CollectorRegistry()
    async with GrpcServer({}) as server:
        registry.register(TransportCollector(server))
        assert registry.get_sample_value("signalbox_transport_connections") == 0
        await server.start("127.0.0.1", 0)
        for _ in range(3):
            await given_up(server, b"GET / HTTP/1.1\r\n\r\n")
        code = {"code": "PROTOCOL_ERROR"}
        assert registry.get_sample_value("signalbox_transport_faults_total", code) == 3
    (line,) = [record for record in caplog.records if record.getMessage() == "connection given up"]
    assert line.__dict__["kind"] == "PROTOCOL_ERROR"
    assert "preface" in line.__dict__["reason"]


async def test_connections_calls_and_what_they_keep_are_gauges() -> None:
    registry = CollectorRegistry()
    async with GrpcServer({}, Limits()) as server:
        registry.register(TransportCollector(server))
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GREETING + b"\0\0\x64\0\0\0\0\0\1half")
        await reader.read(1)
        while not server.buffered_bytes:  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0)
        assert registry.get_sample_value("signalbox_transport_connections") == 1
        assert registry.get_sample_value("signalbox_transport_calls") == 0
        assert registry.get_sample_value("signalbox_transport_buffered_bytes") == 13
        assert registry.get_sample_value("signalbox_transport_cut_for_memory_total") == 0
        writer.close()
        await writer.wait_closed()


async def test_a_connection_cut_for_memory_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    registry = CollectorRegistry()
    async with GrpcServer({}, Limits(server_buffered_bytes=1)) as server:
        registry.register(TransportCollector(server))
        await server.start("127.0.0.1", 0)
        for _ in range(2):
            await given_up(server, GREETING + b"\0\0\x64\0\0\0\0\0\1half")
        assert registry.get_sample_value("signalbox_transport_cut_for_memory_total") == 2
    assert [record.getMessage() for record in caplog.records] == ["connection cut"]


async def test_handshakes_under_way_are_a_gauge_and_those_that_come_to_nothing_are_counted() -> None:
    registry = CollectorRegistry()
    async with GrpcServer({}, Limits(connections=2)) as server:
        registry.register(TransportCollector(server))
        await server.start("127.0.0.1", 0, ServerTls().context)
        peers = []
        for count in (1, 2, 2):
            before = server.handshake_failures.total() + server.handshakes
            peers.append(await asyncio.open_connection("127.0.0.1", server.port))
            while server.handshake_failures.total() + server.handshakes == before:  # noqa: ASYNC110 - has no event
                await asyncio.sleep(0)
            assert registry.get_sample_value("signalbox_transport_handshakes") == count
        peers[1][1].write(b"no TLS at all")
        while server.handshakes == 2:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0)
        name = "signalbox_transport_handshake_failures_total"
        assert registry.get_sample_value(name, {"reason": "crowded"}) == 1
        assert registry.get_sample_value(name, {"reason": "refused"}) == 1
        for _, writer in peers:
            writer.close()
