"""grpcio, sync and aio, against the whole picker: every body mode, plaintext and TLS."""

from __future__ import annotations

import asyncio
import itertools
import queue
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tests.cli.dialogue import BODY, REQUEST_MODES, RESPONSE_MODES, Turn, destination, dialogue, stream
from tests.cli.pickers import Running, channel_to, running_picker, write_source
from tests.wire.authority import Authority

MODES = list(itertools.product(REQUEST_MODES, RESPONSE_MODES))


async def converse(channel: grpc.aio.Channel, turns: Sequence[Turn]) -> list[ext_proc.ProcessingResponse]:
    """Hold a dialogue over grpc.aio to its orderly end."""
    call = stream(channel)()
    heard = []
    for turn in turns:
        for message in turn.say:
            await call.write(message)
        answers = [await call.read() for _ in turn.hear]
        assert tuple(answer.WhichOneof("response") for answer in answers) == turn.hear
        heard += answers
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() == grpc.StatusCode.OK
    return heard


def converse_in_step(address: str, turns: Sequence[Turn]) -> list[ext_proc.ProcessingResponse]:
    """The same over grpcio's blocking interface."""
    outbox: queue.SimpleQueue[ext_proc.ProcessingRequest | None] = queue.SimpleQueue()
    heard = []
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = stream(channel)(iter(outbox.get, None), timeout=30)
        for turn in turns:
            for message in turn.say:
                outbox.put(message)
            answers = [next(call) for _ in turn.hear]
            assert tuple(answer.WhichOneof("response") for answer in answers) == turn.hear
            heard += answers
        outbox.put(None)
        assert list(call) == []
        assert call.code() == grpc.StatusCode.OK
    return heard


@pytest.fixture
async def picker(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_picker(write_source(tmp_path / "source"), "--secure-serving=false") as picker:
        yield picker


async def test_every_pair_of_body_modes_with_grpc_aio(picker: Running) -> None:
    async with channel_to(picker.address) as channel:
        for request_mode, response_mode in MODES:
            heard = await converse(channel, dialogue(request_mode, response_mode))
            assert destination(heard) == "127.0.0.2:8000", (request_mode, response_mode)
            await picker.settled()


async def test_every_pair_of_body_modes_with_blocking_grpcio(picker: Running) -> None:
    for request_mode, response_mode in MODES:
        turns = dialogue(request_mode, response_mode)
        heard = await asyncio.to_thread(converse_in_step, picker.address, turns)
        assert destination(heard) == "127.0.0.2:8000", (request_mode, response_mode)
    await picker.settled()


async def test_a_hundred_streams_of_all_modes_at_once_on_one_connection(picker: Running) -> None:
    async with channel_to(picker.address) as channel:
        heard = await asyncio.gather(*(converse(channel, dialogue(*MODES[n % len(MODES)])) for n in range(100)))
    assert {destination(answers) for answers in heard} == {"127.0.0.2:8000"}
    await picker.settled()


async def test_a_full_duplex_body_comes_back_whole(picker: Running) -> None:
    async with channel_to(picker.address) as channel:
        heard = await converse(channel, dialogue("FULL_DUPLEX_STREAMED", "NONE"))
    chunks = [a.request_body.response.body_mutation.streamed_response for a in heard if a.HasField("request_body")]
    assert b"".join(chunk.body for chunk in chunks) == BODY
    assert [chunk.end_of_stream for chunk in chunks] == [False, True]


async def test_a_client_that_gives_up_leaves_nothing_in_flight(picker: Running) -> None:
    async with channel_to(picker.address) as channel:
        call = stream(channel)()
        for turn in dialogue("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED")[:1]:
            for message in turn.say:
                await call.write(message)
        await call.read()
        assert picker.in_flight == 1
        call.cancel()
        await picker.settled()


# ---- TLS


async def identified(address: str, credentials: Any, name: str = "") -> str:
    """Ask over TLS; return the destination, or the status code of a client that is turned away."""
    async with channel_to(address, credentials, name) as channel:
        try:
            return destination(await converse(channel, dialogue("BUFFERED", "STREAMED")))
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)


def key_and_certificate(directory: Path) -> dict[str, bytes]:
    """A client's pair, as grpcio wants it."""
    return {
        "private_key": (directory / "tls.key").read_bytes(),
        "certificate_chain": (directory / "tls.crt").read_bytes(),
    }


async def test_tls_with_a_self_signed_certificate(tmp_path: Path) -> None:
    async with running_picker(write_source(tmp_path / "source")) as picker:
        port = picker.picker.grpc_port
        pinned = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        credentials = grpc.ssl_channel_credentials(pinned.encode())
        assert await identified(picker.address, credentials, "signalbox-epp") == "127.0.0.2:8000"
        stranger = grpc.ssl_channel_credentials(Authority().pem)
        assert await identified(picker.address, stranger, "signalbox-epp") == "UNAVAILABLE"
        await picker.settled()


async def test_tls_with_a_certificate_of_an_own_ca(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue(tmp_path / "certificates", "epp.svc")
    flags = ("--cert-path", str(tmp_path / "certificates"))
    async with running_picker(write_source(tmp_path / "source"), *flags) as picker:
        credentials = grpc.ssl_channel_credentials(authority.pem)
        assert await identified(picker.address, credentials, "epp.svc") == "127.0.0.2:8000"
        assert await identified(picker.address, credentials, "another.svc") == "UNAVAILABLE"
        assert await identified(picker.address, None) == "UNAVAILABLE"  # without TLS


async def test_tls_only_for_clients_with_a_certificate(tmp_path: Path) -> None:
    authority = Authority()
    authority.issue(tmp_path / "certificates")
    authority.issue(tmp_path / "ours", "gateway")
    Authority("another CA").issue(tmp_path / "theirs", "gateway")
    ca = authority.file(tmp_path / "ca.crt")
    flags = ("--cert-path", str(tmp_path / "certificates"), "--client-ca-file", str(ca))
    async with running_picker(write_source(tmp_path / "source"), *flags) as picker:
        ours, theirs = (
            grpc.ssl_channel_credentials(authority.pem, **key_and_certificate(tmp_path / name))
            for name in ("ours", "theirs")
        )
        nameless = grpc.ssl_channel_credentials(authority.pem)
        assert await identified(picker.address, ours) == "127.0.0.2:8000"
        assert await identified(picker.address, theirs) == "UNAVAILABLE"
        assert await identified(picker.address, nameless) == "UNAVAILABLE"


@pytest.mark.parametrize("flag", ["--secure-serving=true", "--secure-serving=false"])
async def test_health_is_asked_without_tls_either_way(flag: str, tmp_path: Path) -> None:
    async with (
        running_picker(write_source(tmp_path / "source"), flag) as picker,
        channel_to(f"127.0.0.1:{picker.picker.health_port}") as channel,
    ):
        assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
