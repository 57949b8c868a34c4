"""Cache events as vLLM publishes them over ZeroMQ: batches of maps, numbered from 0, the last ones kept for replay."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import zmq
import zmq.asyncio

from signalbox.engine import CacheChange, Cached
from signalbox.modelserver.kv_events_config import KVEventsConfig

_WHOLE = 2**64 - 1
_BOUND = ("*", "::", "ipc://", "inproc://")
_NUMBER_BYTES = 8
_END = b"\xff" * _NUMBER_BYTES


def to_events(changes: Sequence[CacheChange], block_size: int) -> list[dict[str, Any]]:
    """Return changes of the cache as vLLM's events. Blocks whose tokens are unknown are left out, as are those behind
    them."""
    events: list[dict[str, Any]] = []
    for change in changes:
        hashes = [block & _WHOLE for block in change.hashes]
        if not isinstance(change, Cached):
            events.append({"type": "BlockRemoved", "block_hashes": hashes, "medium": "GPU", "group_idx": 0})
        elif change.tokens:
            events.append(
                {
                    "type": "BlockStored",
                    "block_hashes": hashes,
                    "parent_block_hash": None if change.parent is None else change.parent & _WHOLE,
                    "token_ids": list(change.tokens),
                    "block_size": block_size,
                    "lora_id": None,
                    "medium": "GPU",
                    "lora_name": change.adapter,
                    "extra_keys": None if change.adapter is None else [[change.adapter]] * len(hashes),
                    "group_idx": 0,
                    "kv_cache_spec_kind": "full_attention",
                }
            )
    return events


class CannotPublish(OSError):
    """An address for events cannot be had; says which and why."""


def bound_at(address: str, host: str) -> str:
    """Return the address with its ``*`` replaced by ``host``, where that is a single one: a server that listens at one
    address is a pod by itself, and several of them may have the same ports."""
    try:
        own = ipaddress.ip_address(host)
    except ValueError:
        return address
    if own.is_unspecified:
        return address
    return address.replace("//*:", f"//[{own}]:" if own.version == 6 else f"//{own}:")


class EventPublisher:
    """Publishes one engine's events. To be used on one event loop."""

    def __init__(self, config: KVEventsConfig, block_size: int, host: str = "0.0.0.0") -> None:
        """``host`` is where the server listens."""
        self._config = config
        self._host = host
        self._block_size = block_size
        self._context = zmq.asyncio.Context()
        self._number = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=config.buffer_steps)
        self._socket: zmq.Socket[bytes] | None = None
        self._answering: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the sockets. Raises `CannotPublish` where an address cannot be had."""
        config = self._config
        address = bound_at(config.endpoint, self._host)
        # Publishing never waits: what a subscriber does not read is dropped beyond the limit.
        socket = zmq.Context(self._context).socket(zmq.PUB)
        self._socket = socket
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, config.hwm)
        socket.setsockopt(zmq.IPV6, ":" in self._host)
        try:
            if any(mark in config.endpoint for mark in _BOUND):
                socket.bind(address)
            else:
                socket.connect(address)
            if config.replay_endpoint is not None:
                router = self._context.socket(zmq.ROUTER)
                router.setsockopt(zmq.LINGER, 0)
                router.setsockopt(zmq.IPV6, ":" in self._host)
                address = bound_at(config.replay_endpoint, self._host)
                router.bind(address)
                self._answering = asyncio.create_task(self._answer(router))
        except zmq.ZMQError as error:
            await self.close()
            why = error.strerror if error.errno is None else zmq.strerror(error.errno)
            raise CannotPublish(
                f"cannot publish cache events at {address}: {why}; choose another in --kv-events-config"
            ) from None

    def publish(self, changes: Sequence[CacheChange]) -> None:
        """Publish what became of the cache."""
        events = to_events(changes, self._block_size)
        if not events or self._socket is None:
            return
        payload = msgspec.msgpack.encode([time.time(), events, 0])
        self._kept.append((self._number, payload))
        number = self._number.to_bytes(_NUMBER_BYTES, "big")
        self._socket.send_multipart([self._config.topic.encode(), number, payload])
        self._number += 1

    async def close(self) -> None:
        """Close the sockets."""
        if self._answering is not None:
            self._answering.cancel()
            await asyncio.gather(self._answering, return_exceptions=True)
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None
        self._context.destroy(0)

    async def _answer(self, router: zmq.asyncio.Socket) -> None:
        """Answer questions for past batches, each with all from a number on."""
        try:
            while True:
                frames = await router.recv_multipart()
                if len(frames) != 3 or len(frames[2]) != _NUMBER_BYTES:
                    continue
                client, start = frames[0], int.from_bytes(frames[2], "big")
                for number, payload in list(self._kept):
                    if number >= start:
                        await router.send_multipart([client, b"", number.to_bytes(_NUMBER_BYTES, "big"), payload])
                await router.send_multipart([client, b"", _END, b""])
        finally:
            router.close(0)
