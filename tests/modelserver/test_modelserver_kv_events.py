"""A simulated server publishes its cache events as vLLM does, keeps the last ones, and renders prompts to token ids."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import zmq
import zmq.asyncio
from tests.e2e.running import free_port
from tests.modelserver.conftest import Serve

from signalbox.engine import CacheChange, Cached, Evicted, chain_hashes
from signalbox.modelserver.kv_events import CannotPublish, bound_at, to_events
from signalbox.modelserver.options import BadArguments, parse_options
from signalbox.modelserver.tokenizer import Tokenizer

PROMPT = "some words " * 40


def flags(port: int, **more: Any) -> tuple[str, str]:
    config = {"enable_kv_cache_events": True, "publisher": "zmq", "endpoint": f"tcp://*:{port}", "topic": "kv@me@m"}
    return "--kv-events-config", json.dumps({**config, **more})


@pytest.fixture
async def context() -> AsyncIterator[zmq.asyncio.Context]:
    context = zmq.asyncio.Context()
    yield context
    context.destroy(0)


async def subscribed(context: zmq.asyncio.Context, port: int) -> zmq.asyncio.Socket:
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, b"kv@")
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    socket.connect(f"tcp://127.0.0.1:{port}")
    await monitor.recv_multipart()
    socket.disable_monitor()
    monitor.close(0)
    return socket


async def test_blocks_are_reported_as_they_are_cached_with_their_tokens(
    serve: Serve, context: zmq.asyncio.Context
) -> None:
    port = free_port()
    server = await serve(*flags(port))
    socket = await subscribed(context, port)
    events: list[Any] = []
    number = 0
    while not events:  # a subscription takes effect some time after the connection
        status, _ = await server.post(
            "/v1/completions", {"model": "m", "prompt": f"{number} {PROMPT}", "max_tokens": 1}
        )
        assert status == 200
        number += 1
        if await socket.poll(200):
            topic, sequence, payload = await socket.recv_multipart()
            socket.close(0)
            _, events, _ = msgspec.msgpack.decode(payload)
    assert (topic, len(sequence)) == (b"kv@me@m", 8)
    event = events[0]
    asked = int.from_bytes(sequence, "big")
    tokens = Tokenizer().encode(f"{asked} {PROMPT}")
    full = len(tokens) // 16 * 16
    assert event["type"] == "BlockStored"
    assert event["token_ids"] == tokens[:full]
    assert event["block_hashes"] == [block & (2**64 - 1) for block in chain_hashes(tokens, 16)]
    assert (event["parent_block_hash"], event["block_size"], event["medium"]) == (None, 16, "GPU")


async def test_past_batches_can_be_asked_for(serve: Serve, context: zmq.asyncio.Context) -> None:
    port, replay = free_port(), free_port()
    server = await serve(*flags(port, replay_endpoint=f"tcp://*:{replay}", buffer_steps=3))
    for number in range(5):
        await server.post("/v1/completions", {"model": "m", "prompt": f"{number} {PROMPT}", "max_tokens": 1})
    socket = context.socket(zmq.DEALER)
    socket.connect(f"tcp://127.0.0.1:{replay}")
    for start, wanted in ((0, [2, 3, 4]), (4, [4]), (9, [])):
        await socket.send_multipart([b"what"])
        await socket.send_multipart([b"", start.to_bytes(8, "big")])
        found = []
        while True:
            empty, sequence, payload = await socket.recv_multipart()
            assert empty == b""
            if sequence == b"\xff" * 8:
                assert payload == b""
                break
            found.append(int.from_bytes(sequence, "big"))
        assert found == wanted
    socket.close(0)


async def test_rendered_prompts_are_what_the_engine_computes(serve: Serve) -> None:
    server = await serve()
    _, one = await server.post("/v1/completions/render", {"model": "m", "prompt": "hello world"})
    _, plain = await server.post("/tokenize", {"prompt": "hello world"})
    assert one == [{"token_ids": plain["tokens"], "features": None}]
    _, several = await server.post("/v1/completions/render", {"model": "m", "prompt": ["hello world", "bye"]})
    assert [len(several), several[0]["token_ids"]] == [2, plain["tokens"]]
    messages = [{"role": "user", "content": "hello"}]
    _, chat = await server.post("/v1/chat/completions/render", {"messages": messages})
    _, answer = await server.post("/v1/chat/completions", {"model": "m", "messages": messages, "max_tokens": 1})
    assert len(chat["token_ids"]) == answer["usage"]["prompt_tokens"]
    status, _ = await server.post("/v1/completions/render", {"model": "other", "prompt": "x"})
    assert status == 404


def test_changes_become_events() -> None:
    changes: list[CacheChange] = [Cached([-1, 2], 5, [1, 2, 3, 4], "sql"), Cached([7], None, (), None), Evicted([-1])]
    stored, removed = to_events(changes, 2)
    assert stored["block_hashes"] == [2**64 - 1, 2]
    assert (stored["lora_name"], stored["extra_keys"], stored["parent_block_hash"]) == ("sql", [["sql"]] * 2, 5)
    assert removed == {"type": "BlockRemoved", "block_hashes": [2**64 - 1], "medium": "GPU", "group_idx": 0}


@pytest.mark.parametrize("text", ["", "3", "{", '{"publisher": "kafka"}', '{"buffer_steps": 0}', '{"hwm": "many"}'])
def test_a_configuration_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadArguments, match="kv-events-config"):
        parse_options(["--model", "m", "--kv-events-config", text])


@pytest.mark.parametrize("text", ["{}", '{"enable_kv_cache_events": false}',
                                  '{"enable_kv_cache_events": true, "publisher": "null"}'])  # fmt: skip
def test_events_are_published_only_where_that_is_switched_on(text: str) -> None:
    assert parse_options(["--model", "m", "--kv-events-config", text]).kv_events is None


async def test_an_address_that_is_taken_is_told(serve: Serve) -> None:
    port = free_port()
    await serve(*flags(port))
    with pytest.raises(CannotPublish, match=rf"tcp://\*:{port}: Address already in use.*kv-events-config"):
        await serve(*flags(port))
    free = free_port()
    with pytest.raises(CannotPublish, match=rf"tcp://\*:{port}: Address already in use"):
        await serve(*flags(free, replay_endpoint=f"tcp://*:{port}"))


async def test_servers_at_addresses_of_their_own_may_have_the_same_ports(
    serve: Serve, context: zmq.asyncio.Context
) -> None:
    port, replay = free_port(), free_port()
    for host in ("127.0.0.2", "127.0.0.3"):
        await serve(*flags(port, replay_endpoint=f"tcp://*:{replay}"), "--host", host)
    for host in ("127.0.0.2", "127.0.0.3"):
        socket = context.socket(zmq.DEALER)
        socket.connect(f"tcp://{host}:{replay}")
        await socket.send_multipart([b"", bytes(8)])
        assert await socket.recv_multipart() == [b"", b"\xff" * 8, b""]
        socket.close(0)


@pytest.mark.parametrize(("address", "host", "bound"), [
    ("tcp://*:5557", "127.0.1.2", "tcp://127.0.1.2:5557"),
    ("tcp://*:5557", "::1", "tcp://[::1]:5557"),
    ("tcp://*:5557", "0.0.0.0", "tcp://*:5557"),
    ("tcp://*:5557", "::", "tcp://*:5557"),
    ("tcp://*:5557", "localhost", "tcp://*:5557"),
    ("tcp://10.0.0.1:5557", "127.0.1.2", "tcp://10.0.0.1:5557"),
    ("ipc://events", "127.0.1.2", "ipc://events"),
])  # fmt: skip
def test_a_star_stands_for_the_servers_own_address(address: str, host: str, bound: str) -> None:
    assert bound_at(address, host) == bound
