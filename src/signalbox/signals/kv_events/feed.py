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

_TURNS = 8  # of the event loop, in which a socket that can be read is read

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
    socket = subscriber(context, topics)
    monitor = socket.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    watching = asyncio.create_task(_watch(monitor, intake))
    try:
        socket.connect(address)
        while True:
            message = numbered(await socket.recv_multipart())
            if not intake.figures.connected and not await _is_connected(intake):
                continue  # left over from a publisher that is gone
            if message is None:
                intake.figures.malformed += 1
                await asyncio.sleep(0)
                continue
            await intake.message(*message)
    finally:
        watching.cancel()
        socket.disable_monitor()
        monitor.close(0)
        socket.close(0)


async def _is_connected(intake: Intake) -> bool:
    """Whether a message that is here comes of a connection that stands: the monitor was told before the message came,
    but whoever watches it may not have had their turn."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
        if intake.figures.connected:
            return True
    return False


async def _watch(monitor: Any, intake: Intake) -> None:
    catching_up: asyncio.Task[None] | None = None
    try:
        while True:
            await _notice(monitor, intake)
            if intake.figures.connected and (catching_up is None or catching_up.done()):
                catching_up = asyncio.create_task(intake.connected())
    finally:
        if catching_up is not None:
            catching_up.cancel()


async def _notice(monitor: Any, intake: Intake) -> None:
    while True:
        event = parse_monitor_message(await monitor.recv_multipart())["event"]
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            intake.figures.connected = True
            log.info("endpoint %s: KV-cache events come", intake.endpoint.name)
            return
        elif event == zmq.EVENT_DISCONNECTED:
            if intake.figures.connected:
                log.warning("endpoint %s: KV-cache events come no more; what it caches is forgotten",
                            intake.endpoint.name)  # fmt: skip
            intake.figures.connected = False
            intake.disconnected()
            return


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
