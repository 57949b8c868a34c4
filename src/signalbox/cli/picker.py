"""One endpoint picker, put together: source, scraper, director, ext_proc, health and metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Mapping

from aiohttp import web
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode

from signalbox import __version__
from signalbox.cli.certificate import describe, keep_renewed, read_tls
from signalbox.cli.configuration import ConfigurationFile, starting_rules
from signalbox.cli.epp_options import EppOptions
from signalbox.cli.limits import read_limits
from signalbox.cli.pool_page import pool_page
from signalbox.cli.stopping import Stop
from signalbox.cli.thresholds import read_streaming
from signalbox.director import Director
from signalbox.extproc import Terms, picker_routes
from signalbox.observability import MetricsServer, PickerMetrics, ReportedLoad
from signalbox.pool import Pool
from signalbox.scheduling import load_policy
from signalbox.signals import MetricsPoller
from signalbox.sources import DirectorySource
from signalbox.wire import GrpcServer, HealthService, ServingStatus

log = logging.getLogger("signalbox.epp")

HEALTH_SERVICES = frozenset(
    {"", "inference-extension", "liveness", "readiness", "envoy.service.ext_proc.v3.ExternalProcessor"}
)
"""Names the reference's manifests probe. ``liveness`` serves as long as the process does, the others once the pool is
known."""


class Picker:
    """The endpoint picker of one pool.

    Raises:
        ValueError: an environment variable has a value it cannot have, or options contradict each other.
        InvalidPolicy: the configuration is not valid.
        TlsError: a certificate, key or CA file cannot be used.
    """

    def __init__(
        self, options: EppOptions, source: DirectorySource, pool: Pool, environment: Mapping[str, str]
    ) -> None:
        self._options = options
        self._source = source
        self._pool = pool
        self._draining = False
        self.listening = asyncio.Event()
        """Set once all ports are open."""
        metrics = PickerMetrics(ReportedLoad(pool), build_ref=__version__)
        self._configuration = None if options.config_file is None else ConfigurationFile(options.config_file)
        policy = self._configuration.load() if self._configuration is not None else None
        if options.config_text is not None:
            policy = load_policy(options.config_text, name="--config-text")
        self._director = Director(
            pool,
            starting_rules(policy, pool, environment),
            observer=metrics,
            stopwatch=time.perf_counter,
            fallbacks=options.fallbacks,
        )
        terms = Terms(max_body=options.body_limit)
        if not read_streaming(environment):
            terms = Terms(ProcessingMode.BUFFERED, ProcessingMode.BUFFERED, options.body_limit)
        self._tls = read_tls(options)
        self._server = GrpcServer(picker_routes(self._director, time.monotonic, terms), read_limits(options))
        self._health = HealthService(self._status)
        self._health_server = GrpcServer(self._health.routes())
        self._metrics_server = MetricsServer(metrics.registry, healthy=lambda: self._pool.spec is not None)
        self._metrics_server.add_get("/debug/pool", self._show_pool)
        self._poller = MetricsPoller(pool, options.scrape_interval)

    @property
    def grpc_port(self) -> int:
        """The ext_proc port; 0 before it is open."""
        return self._server.port

    @property
    def health_port(self) -> int:
        """The gRPC health port; 0 before it is open."""
        return self._health_server.port

    @property
    def metrics_port(self) -> int:
        """The metrics port. Raises `RuntimeError` before it is open."""
        return self._metrics_server.port

    async def run(self, stop: Stop) -> None:
        """Serve until asked to stop, then drain; asked again, close at once.

        Raises:
            OSError: a port cannot be had; the message names it.
        """
        options = self._options
        context = None if self._tls is None else self._tls.context
        try:
            try:
                await self._metrics_server.start(options.host, options.metrics_port)
            except OSError as error:
                raise OSError(error.errno, f"{error.strerror}; choose another with --metrics-port") from error
            await self._listen("health", self._health_server, options.health_port)
            await self._listen("ext_proc", self._server, options.grpc_port, context)
            self.listening.set()
            self._log_ready()
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(self._poller.run()), tasks.create_task(self._follow_source())]
                if self._configuration is not None:
                    background.append(tasks.create_task(self._configuration.follow(self._director)))
                if self._tls is not None:
                    background.append(tasks.create_task(keep_renewed(self._tls)))
                await stop.gently.wait()
                await self._drain(stop)
                for task in background:
                    task.cancel()
        finally:
            await self._server.close()
            await self._health_server.close()
            await self._metrics_server.close()
        log.info("stopped")

    async def _drain(self, stop: Stop) -> None:
        seconds = self._options.drain_seconds
        log.info("draining", extra={"seconds": seconds, "calls": self._server.calls})
        self._draining = True
        self._health.notify()
        await asyncio.sleep(0)  # who watches our health hears of it before anyone is sent away
        draining = asyncio.create_task(self._server.drain(seconds))
        hurried = asyncio.create_task(stop.at_once.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            log.warning("asked to stop again: closing at once", extra={"calls": self._server.calls})
        for task in (draining, hurried):
            task.cancel()
        await asyncio.wait({draining, hurried})

    def _status(self, service: str) -> ServingStatus:
        if service not in HEALTH_SERVICES:
            return ServingStatus.SERVICE_UNKNOWN
        if service == "liveness" or (self._pool.spec is not None and not self._draining):
            return ServingStatus.SERVING
        return ServingStatus.NOT_SERVING

    async def _show_pool(self, _request: web.Request) -> web.Response:
        page = pool_page(self._pool, time.monotonic())
        return web.json_response(page, dumps=lambda value: json.dumps(value, indent=2))

    async def _follow_source(self) -> None:
        async for _ in self._source.changes():
            self._poller.wake()
            self._health.notify()

    async def _listen(self, what: str, server: GrpcServer, port: int, tls: ssl.SSLContext | None = None) -> None:
        try:
            await server.start(self._options.host, port, tls)
        except OSError as error:
            reason = error.strerror or str(error)
            flag = "--grpc-port" if what == "ext_proc" else "--grpc-health-port"
            raise OSError(
                error.errno,
                f"{what} cannot listen on {self._options.host}:{port}: {reason}; choose another with {flag}",
            ) from error

    def _log_ready(self) -> None:
        log.info(
            "endpoint picker ready" if self._pool.spec is not None else "endpoint picker waits for its pool",
            extra={
                "pool": f"{self._pool.namespace}/{self._pool.name}",
                "grpc_port": self._server.port,
                "health_port": self._health_server.port,
                "metrics_port": self._metrics_server.port,
                **({"certificate": "none, plaintext"} if self._tls is None else describe(self._tls)),
            },
        )
