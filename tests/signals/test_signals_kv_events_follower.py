"""Publishers of KV-cache events over real sockets: connected to, or waited for at one address."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import zmq
import zmq.asyncio
from tests.conftest import Objects
from tests.e2e.running import free_port

from signalbox.director import Director, PreciseTracker, policy_rules
from signalbox.pool import Pool
from signalbox.scheduling import load_policy
from signalbox.signals.kv_events import EventsFollower, feed
from signalbox.signals.kv_events.follower import PORT_LABEL, rank_of

CONFIG = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: token-producer, parameters: {backend: tokenize}}
- {type: precise-prefix-cache-producer, parameters: {kvEventsConfig: {EVENTS}}}
- {type: prefix-cache-scorer}
"""
PLAIN = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def stored(*hashes: int) -> bytes:
    ids = [16 * block + place for block in hashes for place in range(16)]
    return msgspec.msgpack.encode([1.0, [["BlockStored", list(hashes), None, ids, 16]]])


class Site:
    """A follower over a pool of pods on this machine, and publishers."""

    def __init__(self, objects: Objects, ports: tuple[int, ...], events: str) -> None:
        self.objects = objects
        self.pool = Pool("pool")
        self.pool.set_pool(objects.pool())
        for number, port in enumerate(ports):
            labels = {"app": "llm", PORT_LABEL: str(port)}
            self.pool.put(objects.pod(f"pod-{number}", f"127.0.0.{number + 2}", labels=labels))
        text = CONFIG.replace("EVENTS", events)
        self.director = Director(self.pool, policy_rules(load_policy(text, name="x"), self.pool), rng=random.Random(1))
        self.follower = EventsFollower(self.director)
        self.context = zmq.asyncio.Context()
        self.sockets: list[Any] = []

    @property
    def tracker(self) -> PreciseTracker:
        prefix = self.director.rules.prefix
        assert isinstance(prefix, PreciseTracker)
        return prefix

    def publisher(self, port: int, *, connect: bool = False) -> Any:
        socket = self.context.socket(zmq.PUB)
        self.sockets.append(socket)
        socket.connect(f"tcp://127.0.0.1:{port}") if connect else socket.bind(f"tcp://*:{port}")
        return socket

    async def until(self, condition: Callable[[], bool], *again: Any) -> None:
        """Wait for something; ``again`` is a publisher and a message that it repeats meanwhile."""
        async with asyncio.timeout(20):
            while not condition():
                if again:
                    await again[0].send_multipart(again[1])
                await asyncio.sleep(0.01)

    def reported(self, number: int) -> int:
        return self.tracker.index.reported(self.pool.endpoints[number].row)

    async def connected(self, number: int = 0) -> None:
        name = self.pool.endpoints[number].name
        await self.until(lambda: name in self.follower.figures() and self.follower.figures()[name].connected)


@asynccontextmanager
async def following(
    objects: Objects, ports: tuple[int, ...], events: str = "discoverPods: true"
) -> AsyncIterator[Site]:
    site = Site(objects, ports, events)
    task = asyncio.create_task(site.follower.run())
    try:
        yield site
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for socket in site.sockets:
            socket.close(0)
        site.context.destroy(0)


def message(number: int, payload: bytes, topic: bytes = b"") -> list[bytes]:
    return [topic, number.to_bytes(8, "big"), payload]


async def test_messages_of_an_endpoints_publisher_reach_the_index(objects: Objects) -> None:
    port = free_port()
    async with following(objects, (port,)) as site:
        socket = site.publisher(port)
        await site.connected()
        await site.until(lambda: site.reported(0) == 2, socket, message(0, stored(1, 2)))


async def test_frames_that_are_no_message_are_counted_and_harm_nothing(objects: Objects) -> None:
    port = free_port()
    async with following(objects, (port,)) as site:
        socket = site.publisher(port)
        await site.connected()
        await site.until(lambda: site.follower.figures()["pod-0"].malformed > 0, socket, [b"only one"])
        for frames in ([b"", b"short", stored(1)], [b"", bytes(8), b"\xc1"], [b"", bytes(8), stored(1), b"more"]):
            await socket.send_multipart(frames)
        await site.until(lambda: site.reported(0) == 1, socket, message(1, stored(7)))


async def test_publishers_may_come_to_one_address(objects: Objects) -> None:
    port = free_port()
    async with following(objects, (1, 2), f"zmqEndpoint: 'tcp://*:{port}'") as site:
        socket = site.publisher(port, connect=True)
        by_address, by_pod = b"kv@127.0.0.2:8000@m", b"kv@pod-1@m"
        await site.until(lambda: site.reported(0) == 1, socket, message(0, stored(1), by_address))
        await site.until(lambda: site.reported(1) == 2, socket, message(0, stored(1, 2), by_pod))
        before = site.follower.unattributed
        stranger = message(0, stored(1), b"kv@10.9.9.9:8000@m")
        await site.until(lambda: site.follower.unattributed > before, socket, stranger)
        assert (site.reported(0), site.reported(1)) == (1, 2)


async def test_an_address_that_cannot_be_had_is_told(objects: Objects, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    async with following(objects, (1,), f"zmqEndpoint: 'tcp://127.0.0.1:{port}'") as first:
        await first.until(lambda: first.follower._central is not None)
        for _ in range(5):  # its task binds in its first turn
            await asyncio.sleep(0)
        async with following(objects, (1,), f"zmqEndpoint: 'tcp://127.0.0.1:{port}'") as second:
            await second.until(lambda: bool(second.follower.trouble))
            assert "choose another" in second.follower.trouble
    assert len([record for record in caplog.records if "no KV-cache events" in record.getMessage()]) == 1


async def test_a_label_that_names_another_port_is_followed(objects: Objects) -> None:
    port, other = free_port(), free_port()
    async with following(objects, (port,)) as site:
        socket, moved = site.publisher(port), site.publisher(other)
        await site.connected()
        await site.until(lambda: site.reported(0) == 1, socket, message(0, stored(1)))
        site.pool.put(objects.pod("pod-0", "127.0.0.2", labels={"app": "llm", PORT_LABEL: str(other)}))
        site.follower.wake()
        await site.until(lambda: site.reported(0) == 2, moved, message(0, stored(7, 8)))


async def test_a_configuration_without_a_precise_index_ends_the_subscriptions(objects: Objects) -> None:
    port = free_port()
    async with following(objects, (port,)) as site:
        socket = site.publisher(port)
        await site.connected()
        await site.until(lambda: site.reported(0) == 1, socket, message(0, stored(1)))
        totals = site.follower.totals()["messages"]
        site.director.rules = policy_rules(load_policy(PLAIN, name="x"), site.pool, site.director.rules)
        site.follower.wake()
        await site.until(lambda: not site.follower.figures())
        assert site.follower.totals()["messages"] >= totals > 0


async def test_a_message_that_is_too_long_is_not_taken(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LARGEST", 1000)
    port = free_port()
    async with following(objects, (port,)) as site:
        socket = site.publisher(port)
        await site.connected()
        long = message(0, stored(*range(1, 200)))
        await site.until(lambda: site.follower.figures()["pod-0"].disconnects > 0, socket, long)
        assert site.reported(0) == 0
        await site.until(lambda: site.reported(0) == 1, socket, message(0, stored(7)))  # it is connected to again


async def test_what_is_no_publisher_is_tried_again(objects: Objects) -> None:
    port, tried = free_port(), 0

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tried
        tried += 1
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + bytes(64))
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.2", port)
    async with following(objects, (port,)) as site:
        await site.until(lambda: tried > 1)
        server.close()
        await server.wait_closed()
        socket = site.publisher(port)
        await site.until(lambda: site.reported(0) == 1, socket, message(0, stored(1)))
        assert site.follower.figures()["pod-0"].disconnects == 0, "there was no connection to lose"


@pytest.mark.parametrize(("ports", "ranks"), [((8000,), [0]), ((8000, 8001, 8002), [0, 1, 2])])
def test_ranks_are_those_of_the_target_ports(objects: Objects, ports: tuple[int, ...], ranks: list[int]) -> None:
    pool = Pool("pool")
    pool.set_pool(objects.pool(ports=ports))
    pool.put(objects.pod("pod-rank-7", "10.0.0.1"))
    assert [rank_of(endpoint) for endpoint in pool.endpoints] == ranks
