"""The suite against a picker process: real scrapes, TLS with the certificate it made itself, gRPC health."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest_asyncio
from aiohttp import web
from cryptography import x509
from tests.cli.dialogue import body, destination, opening, stream
from tests.cli.pickers import channel_to, picker_process, write_source
from tests.reference.hermetic import HERMETIC, completion

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
PODS = ((3, 0.2, ""), (0, 0.1, "foo,sql-lora-1fdg2"), (10, 0.2, ""))
SERVICES = (b"", b"inference-extension", b"liveness", b"readiness", b"envoy.service.ext_proc.v3.ExternalProcessor")
SERVING = b"\x08\x01"


class Servers:
    """Metrics pages of three servers, and how often each was read."""

    def __init__(self) -> None:
        self.port = 0
        self._read = dict.fromkeys(HOSTS, 0)
        self._changed = asyncio.Condition()

    async def start(self, stack: AsyncExitStack) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._page)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        for host in HOSTS:
            await web.TCPSite(runner, host, self.port).start()
            self.port = runner.addresses[0][1]

    async def _page(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        host = request.transport.get_extra_info("sockname")[0]
        waiting, usage, adapters = PODS[HOSTS.index(host)]
        async with self._changed:
            self._read[host] += 1
            self._changed.notify_all()
        return web.Response(
            text=f"vllm:num_requests_waiting {waiting}\nvllm:gpu_cache_usage_perc {usage}\n"
            f'vllm:lora_requests_info{{max_lora="4",running_lora_adapters="{adapters}",waiting_lora_adapters=""}} 1\n'
        )

    async def known(self) -> None:
        """Wait until every page was read twice: the first reading has been taken by then."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: min(self._read.values()) >= 2)


@pytest_asyncio.fixture
async def servers() -> AsyncGenerator[Servers]:
    async with AsyncExitStack() as stack:
        built = Servers()
        await built.start(stack)
        yield built


@asynccontextmanager
async def picker(tmp_path: Path, servers: Servers, *flags: str) -> AsyncIterator[dict[str, Any]]:
    """A picker process over the servers that has read all pages; what it said when it was ready."""
    source = write_source(tmp_path / "source", {f"pod-{n}": host for n, host in enumerate(HOSTS)}, servers.port)
    config = tmp_path / "epp.yaml"
    config.write_text(HERMETIC)
    async with picker_process(source, "--config-file", str(config), *flags) as process:
        ready = await process.logged("endpoint picker ready")
        await servers.known()
        yield ready


async def ask(channel: Any, port: int) -> None:
    """The case "active LoRA, low queue", in a real call."""
    call = stream(channel)()
    await call.write(opening("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED"))
    await call.write(body(completion("sql-lora-1fdg2", "test2")))
    answers = [await call.read() for _ in range(2)]
    assert destination(answers).split(",")[0] == f"{HOSTS[1]}:{port}"
    streamed = answers[1].request_body.response.body_mutation.streamed_response
    assert (streamed.body, streamed.end_of_stream) == (completion("sql-lora-1fdg2", "test2"), True)
    call.cancel()


async def test_routed_in_plaintext(tmp_path: Path, servers: Servers) -> None:
    async with (
        picker(tmp_path, servers, "--secure-serving=false") as ready,
        channel_to(f"127.0.0.1:{ready['grpc_port']}") as channel,
    ):
        await ask(channel, servers.port)


async def test_routed_over_tls_with_the_certificate_it_made(tmp_path: Path, servers: Servers) -> None:
    async with picker(tmp_path, servers) as ready:
        address = ("127.0.0.1", ready["grpc_port"])
        pem = (await asyncio.to_thread(ssl.get_server_certificate, address)).encode()
        names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        name = names.value.get_values_for_type(x509.DNSName)[0]
        async with channel_to(f"127.0.0.1:{address[1]}", grpc.ssl_channel_credentials(pem), name) as channel:
            await ask(channel, servers.port)


async def test_health_without_election_is_told_for_any_name(tmp_path: Path, servers: Servers) -> None:
    async with picker(tmp_path, servers) as ready, channel_to(f"127.0.0.1:{ready['health_port']}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        for service in (*SERVICES, b"x"):
            assert await check(b"\x0a%c%s" % (len(service), service)) == SERVING, service
