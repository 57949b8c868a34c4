"""A gRPC server on asyncio."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import Counter
from types import TracebackType

from signalbox.wire.calls import Routes
from signalbox.wire.errors import ErrorCode
from signalbox.wire.handshake_line import HandshakePace
from signalbox.wire.handshakes import Handshakes
from signalbox.wire.limits import Limits
from signalbox.wire.protocol import GrpcProtocol
from signalbox.wire.turns import Turns

log = logging.getLogger(__name__)

_LOG_SECONDS = 60.0
"""Of each kind of trouble the first is logged, and then one in this time: an attack is not to fill a disk."""
_LOOK_SECONDS = 0.1
"""How often to see whether CPU time has become short."""
_CLOSE_SECONDS = 1.0
"""How long `GrpcServer.close` lets the last bytes go out."""


class GrpcServer:
    """Serves ``routes`` over HTTP/2: in plaintext with prior knowledge, or over TLS with ALPN ``h2``."""

    def __init__(self, routes: Routes, limits: Limits | None = None) -> None:
        self._routes = routes
        self._limits = limits or Limits()
        self._server: asyncio.Server | None = None
        self._handshakes: Handshakes | None = None
        self._look: asyncio.TimerHandle | None = None
        self._protocols: set[GrpcProtocol] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._stopping = False
        self._sweep: asyncio.TimerHandle | None = None
        self._port = 0
        self._buffered_bytes = 0
        self._faults: Counter[ErrorCode] = Counter()
        self._cut_for_memory = 0
        self._logged: dict[str, float] = {}
        bounds = self._limits
        shortest = min(
            bounds.preface_seconds,
            bounds.idle_seconds,
            bounds.keepalive_seconds,
            bounds.stall_seconds,
            bounds.message_seconds,
        )
        self._sweep_seconds = min(1.0, shortest / 4)

    @property
    def port(self) -> int:
        """The port listened on; 0 before `start`."""
        return self._port

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._protocols)

    @property
    def handshakes(self) -> int:
        """How many more are in their TLS handshake, or wait for it."""
        return 0 if self._handshakes is None else len(self._handshakes)

    @property
    def handshake_failures(self) -> Counter[str]:
        """How many handshakes came to nothing, by reason: ``crowded``, ``timeout`` or ``refused``."""
        return Counter() if self._handshakes is None else self._handshakes.failures.copy()

    @property
    def calls(self) -> int:
        """How many calls are open, over all connections."""
        return sum(len(protocol.session.connection.streams) for protocol in self._protocols)

    @property
    def buffered_bytes(self) -> int:
        """Bytes the connections make the server keep: unfinished messages, waiting answers, heads of open calls."""
        return self._buffered_bytes

    @property
    def faults(self) -> Counter[ErrorCode]:
        """How many connections were given up for a rule they broke, by the code they were told."""
        return self._faults.copy()

    @property
    def cut_for_memory(self) -> int:
        """How many connections were cut because all of them together held too much."""
        return self._cut_for_memory

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None, reuse_port: bool = False) -> None:
        """Listen; port 0 takes a free one. Sets ALPN on ``tls``, and the class of its objects, so it is for one server.

        Raises `OSError` when the address cannot be had.
        """
        if self._server is not None:
            raise RuntimeError(f"GrpcServer already listens on port {self._port}: make another one")
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        loop = asyncio.get_running_loop()
        turns = Turns(loop, self._limits.turn_seconds, self._limits.debtors_share)
        limits = self._limits

        def made() -> asyncio.Protocol:
            return GrpcProtocol(loop, self._routes, limits, self._opened, self._closed, self._grew, turns)

        accept = made
        if tls is not None:
            pace = HandshakePace(limits.handshakes_share, turns.shares)
            self._handshakes = Handshakes(
                loop, tls, limits.connections, limits.preface_seconds, pace, made, self._handshake_cut
            )
            accept = self._handshakes.accept
        self._server = await loop.create_server(accept, host, port, reuse_port=reuse_port or None, backlog=1024)
        self._port = self._server.sockets[0].getsockname()[1]
        self._schedule_sweep(loop)
        self._look_again(loop, turns)

    async def drain(self, timeout: float) -> None:
        """Listen no more, let open calls finish for at most ``timeout`` seconds, then close what is left."""
        self._stop_listening()
        for protocol in tuple(self._protocols):
            protocol.drain()
        try:
            await asyncio.wait_for(self._empty.wait(), timeout)
        except TimeoutError:
            pass
        await self.close()

    async def close(self) -> None:
        """Close everything now; open calls are cancelled."""
        self._stop_listening()
        for protocol in tuple(self._protocols):
            protocol.close()
        try:
            await asyncio.wait_for(self._empty.wait(), _CLOSE_SECONDS)
        except TimeoutError:
            for protocol in tuple(self._protocols):
                protocol.abort()
            await self._empty.wait()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._look is not None:
            self._look.cancel()
            self._look = None

    async def __aenter__(self) -> GrpcServer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _stop_listening(self) -> None:
        self._stopping = True
        if self._server is not None:
            self._server.close()
        if self._handshakes is not None:
            self._handshakes.close()

    def _opened(self, protocol: GrpcProtocol) -> bool:
        self._protocols.add(protocol)
        self._empty.clear()
        if self._stopping:  # accepted before, and heard of only now
            protocol.session.connection.drain()
        return len(self._protocols) <= self._limits.connections

    def _closed(self, protocol: GrpcProtocol) -> None:
        self._protocols.discard(protocol)
        fault = protocol.session.connection.fault
        if fault is not None:
            self._faults[fault.code] += 1
            self._warn(fault.code.name, "connection given up", fault.reason, self._faults[fault.code])
        if not self._protocols:
            self._empty.set()

    def _handshake_cut(self) -> None:
        reason = f"more than {self._limits.connections} connections in their TLS handshake or before it: one goes"
        self._warn("handshakes", "connection cut", reason, self.handshake_failures["crowded"])

    def _grew(self, change: int) -> None:
        self._buffered_bytes += change
        while self._buffered_bytes > self._limits.server_buffered_bytes:
            self._cut_for_memory += 1
            reason = f"all connections keep more than {self._limits.server_buffered_bytes} bytes"
            self._warn("memory", "connection cut", reason, self._cut_for_memory)
            max(self._protocols, key=lambda protocol: protocol.buffered_bytes).abort()

    def _warn(self, kind: str, what: str, reason: str, count: int) -> None:
        """Log the first trouble of a kind, and then one a minute; ``count`` is how many there have been."""
        now = time.monotonic()
        last = self._logged.get(kind)
        if last is None or now - last >= _LOG_SECONDS:
            self._logged[kind] = now
            log.warning(what, extra={"kind": kind, "reason": reason, "count": count, "connections": self.connections})

    def _schedule_sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweep = loop.call_later(self._sweep_seconds, self._check_all, loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop, turns: Turns) -> None:
        self._look = loop.call_later(_LOOK_SECONDS, self._look_again, loop, turns)
        turns.look()

    def _check_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self._schedule_sweep(loop)  # first: whatever happens to one connection, the others are looked after
        now = loop.time()
        for protocol in tuple(self._protocols):
            protocol.check(now)
