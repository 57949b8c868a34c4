"""Connections to publishers of KV-cache events, over ZeroMQ."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import zmq
import zmq.asyncio
from zmq.utils.monitor import parse_monitor_message

from signalbox.signals.kv_events.intake import Intake

log = logging.getLogger(__name__)

QUEUED = 10_000
"""Messages of one publisher that wait to be read; what comes beyond is dropped, which is seen as a gap."""
LARGEST = 8 * 1024 * 1024
"""Bytes of a message; a publisher that sends a longer one is disconnected."""
NUMBER_BYTES = 8
END = b"\xff" * NUMBER_BYTES
"""The number of the message that ends a replay."""

REPLAY_SILENCE = 5.0
"""Seconds without a message after which a replay is given up."""
REPLAY_LONGEST = 120.0
REPLAYS = 8
"""Replays at one time, of all publishers together."""
COOL_DOWN = 30.0
"""Seconds from one replay of a publisher to its next."""

_RECONNECT, _SLOWEST = 100, 5000  # milliseconds


def subscriber(context: zmq.asyncio.Context, topics: str) -> zmq.asyncio.Socket:
    """Return a socket that hears of ``topics``, all that begin so, and is connected to nobody."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, QUEUED)
    socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
    socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, _SLOWEST)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.SUBSCRIBE, topics.encode())
    return socket


def numbered(frames: list[bytes]) -> tuple[int, bytes] | None:
    """Return number and payload of a message of topic, number and payload; ``None`` for anything else."""
    if len(frames) != 3 or len(frames[1]) != NUMBER_BYTES:
        return None
    return int.from_bytes(frames[1], "big"), frames[2]


async def follow(context: zmq.asyncio.Context, address: str, topics: str, intake: Intake) -> None:
    """Take in what the publisher at ``address`` sends, for ever; connect again where it goes away."""
    pause = _RECONNECT
    while True:
        # libzmq connects again by itself where a connection breaks, but never to a peer that broke its protocol, with a
        # message over `LARGEST` or by not being a publisher at all: so each connection has a socket of its own.
        stood = await _one_connection(context, address, topics, intake)
        pause = _RECONNECT if stood else min(2 * pause, _SLOWEST)
        await asyncio.sleep(pause / 1000)


async def _one_connection(context: zmq.asyncio.Context, address: str, topics: str, intake: Intake) -> bool:
    """Take in what comes until the connection ends; whether there was one. While nobody listens there, wait."""
    socket = subscriber(context, topics)
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    watching = asyncio.create_task(_watch(monitor, intake))
    reading = asyncio.create_task(_read(socket, intake))
    try:
        socket.connect(address)
        await asyncio.wait((watching, reading), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            reading.result()
    finally:
        for task in (watching, reading):  # before anything is forgotten: what waits to be read is of no use any more
            task.cancel()
        await asyncio.gather(watching, reading, return_exceptions=True)
        socket.disable_monitor()
        monitor.close(0)
        socket.close(0)
    stood, intake.figures.connected = intake.figures.connected, False
    if stood:
        log.warning("endpoint %s: KV-cache events come no more; what it caches is forgotten", intake.endpoint.name)
        intake.disconnected()
    return stood


async def _read(socket: zmq.asyncio.Socket, intake: Intake) -> None:
    """Take in messages for ever."""
    while True:
        message = numbered(await socket.recv_multipart())
        if message is None:
            intake.figures.malformed += 1
            await asyncio.sleep(0)
            continue
        await intake.message(*message)


async def _watch(monitor: Any, intake: Intake) -> None:
    """Note when the connection stands, and return when it has ended."""
    catching_up: asyncio.Task[None] | None = None
    try:
        while True:
            event = parse_monitor_message(await monitor.recv_multipart())["event"]
            if event == zmq.EVENT_DISCONNECTED:
                return
            intake.figures.connected = True
            log.info("endpoint %s: KV-cache events come", intake.endpoint.name)
            catching_up = asyncio.create_task(intake.connected())
    finally:
        if catching_up is not None:
            catching_up.cancel()
            await asyncio.gather(catching_up, return_exceptions=True)


class Replays:
    """Asks publishers for messages they have sent before."""

    def __init__(self, context: zmq.asyncio.Context) -> None:
        self._context = context
        self._slots = asyncio.Semaphore(REPLAYS)
        self._last: dict[str, float] = {}

    async def ask(self, address: str, start: int) -> AsyncIterator[tuple[int, bytes]]:
        """Yield number and payload of every message from ``start`` on that the publisher still has.

        Raises `OSError` where it does not answer, breaks off, or was asked a short while ago.
        """
        now = asyncio.get_running_loop().time()
        if now - self._last.get(address, -COOL_DOWN) < COOL_DOWN:
            raise OSError(f"{address} was asked less than {COOL_DOWN:g} s ago")
        self._last[address] = now
        async with self._slots:
            socket = self._context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
            socket.setsockopt(zmq.IPV6, 1)
            try:
                socket.connect(address)
                await socket.send_multipart([b"", start.to_bytes(NUMBER_BYTES, "big")])
                deadline = asyncio.get_running_loop().time() + REPLAY_LONGEST
                while True:
                    frames = await self._next(socket, address, deadline)
                    if len(frames) < 2 or len(frames[-2]) != NUMBER_BYTES:
                        raise OSError(f"{address} answers with something else")
                    if frames[-2] == END:
                        return
                    yield int.from_bytes(frames[-2], "big"), frames[-1]
            finally:
                socket.close(0)

    def forget(self, address: str) -> None:
        """Do not wait before the publisher is asked again."""
        self._last.pop(address, None)

    async def _next(self, socket: zmq.asyncio.Socket, address: str, deadline: float) -> list[bytes]:
        left = deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0.0, min(left, REPLAY_SILENCE))):
                frames: list[bytes] = await socket.recv_multipart()
                return frames
        except TimeoutError:
            raise OSError(f"{address} does not answer, or not to the end") from None
