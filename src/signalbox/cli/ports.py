"""The three ports of a process that speaks ext_proc: ext_proc itself, gRPC health, and metrics."""

from __future__ import annotations

import ssl
from typing import Protocol

from signalbox.cli.certificate import describe
from signalbox.observability import MetricsServer
from signalbox.wire import GrpcServer, ServerTls


class PortOptions(Protocol):
    """What a command line says about ports; 0 takes a free one."""

    @property
    def host(self) -> str:
        """The address all three listen on."""

    @property
    def grpc_port(self) -> int:
        """The port of ext_proc."""

    @property
    def health_port(self) -> int:
        """The port of gRPC health."""

    @property
    def metrics_port(self) -> int:
        """The port of the metrics."""


class Ports:
    """Opens them and closes them. Health is always in plaintext; ``tls`` is ext_proc's."""

    def __init__(
        self,
        options: PortOptions,
        server: GrpcServer,
        health: GrpcServer,
        metrics: MetricsServer,
        tls: ServerTls | None,
    ) -> None:
        self._options = options
        self._server = server
        self._health = health
        self._metrics = metrics
        self._tls = tls

    @property
    def grpc(self) -> int:
        """The ext_proc port; 0 before it is open."""
        return self._server.port

    @property
    def health(self) -> int:
        """The gRPC health port; 0 before it is open."""
        return self._health.port

    @property
    def metrics(self) -> int:
        """The metrics port. Raises `RuntimeError` before it is open."""
        return self._metrics.port

    async def open(self) -> None:
        """Listen: for requests last, when all that watches them is there.

        Raises:
            OSError: a port cannot be had; the message names it and its flag.
        """
        options = self._options
        try:
            await self._metrics.start(options.host, options.metrics_port)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}; choose another with --metrics-port") from error
        await self._listen("health", self._health, options.health_port, "--grpc-health-port")
        context = None if self._tls is None else self._tls.context
        await self._listen("ext_proc", self._server, options.grpc_port, "--grpc-port", context)

    async def close(self) -> None:
        """Close them all; open calls are cancelled. Those that are not open stay so."""
        await self._server.close()
        await self._health.close()
        await self._metrics.close()

    def places(self) -> dict[str, object]:
        """Say for a log where they are, and what certificate ext_proc shows."""
        return {
            "grpc_port": self.grpc,
            "health_port": self.health,
            "metrics_port": self.metrics,
            **({"certificate": "none, plaintext"} if self._tls is None else describe(self._tls)),
        }

    async def _listen(
        self, what: str, server: GrpcServer, port: int, flag: str, tls: ssl.SSLContext | None = None
    ) -> None:
        try:
            await server.start(self._options.host, port, tls)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"{what} cannot listen on {self._options.host}:{port}: {reason}; choose another with {flag}"
            raise OSError(error.errno, message) from error
