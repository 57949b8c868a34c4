"""One endpoint picker, put together: source, scraper, director, ext_proc, health and metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections.abc import Mapping

from aiohttp import web
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode

from signalbox import __version__
from signalbox.admission import SheddableGate
from signalbox.cli.epp_options import EppOptions
from signalbox.cli.thresholds import read_streaming, read_thresholds
from signalbox.director import Director
from signalbox.extproc import Terms, picker_routes
from signalbox.observability import MetricsServer, PickerMetrics, ReportedLoad
from signalbox.pool import Pool
from signalbox.scheduling import guide_profile
from signalbox.scheduling.filters import HasCapacity
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
        ValueError: an environment variable has a value it cannot have.
    """

    def __init__(
        self, options: EppOptions, source: DirectorySource, pool: Pool, environment: Mapping[str, str]
    ) -> None:
        self._options = options
        self._source = source
        self._pool = pool
        self._draining = False
        thresholds = read_thresholds(environment)
        metrics = PickerMetrics(ReportedLoad(pool), build_ref=__version__)
        director = Director(
            pool,
            guide_profile(thresholds),
            SheddableGate(HasCapacity(thresholds.queue, thresholds.kv_cache)),
            observer=metrics,
            stopwatch=time.perf_counter,
        )
        terms = Terms(max_body=options.body_limit)
        if not read_streaming(environment):
            terms = Terms(ProcessingMode.BUFFERED, ProcessingMode.BUFFERED, options.body_limit)
        self._server = GrpcServer(picker_routes(director, time.monotonic, terms))
        self._health = HealthService(self._status)
        self._health_server = GrpcServer(self._health.routes())
        self._metrics_server = MetricsServer(metrics.registry, healthy=lambda: self._pool.spec is not None)
        self._metrics_server.add_get("/debug/pool", self._show_pool)
        self._poller = MetricsPoller(pool, options.scrape_interval)

    def _status(self, service: str) -> ServingStatus:
        if service not in HEALTH_SERVICES:
            return ServingStatus.SERVICE_UNKNOWN
        if service == "liveness" or (self._pool.spec is not None and not self._draining):
            return ServingStatus.SERVING
        return ServingStatus.NOT_SERVING

    async def _show_pool(self, _request: web.Request) -> web.Response:
        """What the picker knows, for whoever asks why: endpoints with their columns, model names, conflicts."""
        columns = self._pool.columns
        now = time.monotonic()
        document = {
            "pool": f"{self._pool.namespace}/{self._pool.name}",
            "known": self._pool.spec is not None,
            "endpoints": [
                {
                    "name": endpoint.name,
                    "address": endpoint.address,
                    "waiting": columns.waiting[endpoint.row],
                    "running": columns.running[endpoint.row],
                    "kv_usage": columns.kv_usage[endpoint.row],
                    "in_flight": columns.inflight[endpoint.row],
                    "in_flight_tokens": columns.inflight_tokens[endpoint.row],
                    "active_adapters": sorted(name for name, mask in columns.adapters.items() if mask[endpoint.row]),
                    "failed_scrapes": columns.failed_scrapes[endpoint.row],
                    "scraped_seconds_ago": (
                        round(now - columns.scraped_at[endpoint.row], 3)
                        if columns.scraped_at[endpoint.row] >= 0
                        else None
                    ),
                }
                for endpoint in self._pool.endpoints
            ],
            "models": list(self._pool.catalogue.names),
            "conflicts": [str(conflict) for conflict in self._pool.catalogue.conflicts],
        }
        return web.json_response(document, dumps=lambda value: json.dumps(value, indent=2))

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            OSError: a port cannot be had; the message names it.
        """
        options = self._options
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await self._metrics_server.start(options.host, options.metrics_port)
        await self._listen("health", self._health_server, options.health_port)
        await self._listen("ext_proc", self._server, options.grpc_port)
        log.info(
            "endpoint picker ready" if self._pool.spec is not None else "endpoint picker waits for its pool",
            extra={
                "pool": f"{self._pool.namespace}/{self._pool.name}",
                "grpc_port": self._server.port,
                "health_port": self._health_server.port,
                "metrics_port": self._metrics_server.port,
            },
        )
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._poller.run()), tasks.create_task(self._follow_source())]
            await stop.wait()
            log.info("draining", extra={"seconds": options.drain_seconds, "calls": self._server.calls})
            self._draining = True
            self._health.notify()
            await self._server.drain(options.drain_seconds)
            for task in background:
                task.cancel()
        await self._health_server.close()
        await self._metrics_server.close()
        log.info("stopped")

    async def _follow_source(self) -> None:
        async for _ in self._source.changes():
            self._poller.wake()
            self._health.notify()

    async def _listen(self, what: str, server: GrpcServer, port: int) -> None:
        try:
            await server.start(self._options.host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"{what} cannot listen on {self._options.host}:{port}: {reason}") from error
