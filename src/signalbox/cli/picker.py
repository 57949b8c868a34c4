"""One endpoint picker, put together: source, scraper, director, ext_proc, health and metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode

from signalbox import __version__
from signalbox.cli.admin import AdminPages, decision_log
from signalbox.cli.asking_room import AskingRoom
from signalbox.cli.certificate import keep_renewed, read_tls
from signalbox.cli.configuration import ConfigurationFile, starting_rules
from signalbox.cli.draining import drain
from signalbox.cli.epp_options import EppOptions
from signalbox.cli.limits import read_limits
from signalbox.cli.ports import Ports
from signalbox.cli.precise_page import precise_page
from signalbox.cli.scraping import engines
from signalbox.cli.stopping import Stop
from signalbox.cli.thresholds import read_streaming
from signalbox.cli.waiting_room import ScrapedRoom, TurnRoom
from signalbox.director import Director
from signalbox.extproc import BodyBudget, Terms, picker_routes
from signalbox.observability import (
    FairnessCollector,
    FlowCollector,
    MetricsServer,
    PickerMetrics,
    ReportedLoad,
    TransportCollector,
)
from signalbox.observability.precise import PreciseCollector
from signalbox.pool import Pool
from signalbox.scheduling import load_policy
from signalbox.signals import MetricsPoller, ModelsPoller
from signalbox.signals.kv_events import EventsFollower
from signalbox.signals.tokens import TokenClient
from signalbox.sources import Source
from signalbox.wire import GrpcServer, HealthService, ServingStatus

if TYPE_CHECKING:  # which a picker of files does not pay for
    from signalbox.cli.in_cluster import InCluster

log = logging.getLogger("signalbox.epp")

_BUFFERED = ProcessingMode.BUFFERED
_CLOSING = 1.0
"""Seconds before the end of a drain at which requests that still wait are refused: their answers have to get out."""

HEALTH_SERVICES = frozenset(
    {"", "inference-extension", "liveness", "readiness", "envoy.service.ext_proc.v3.ExternalProcessor"}
)
"""Names the reference's manifests probe. ``liveness`` serves as long as the process does, the others while the pool is
known and no other replica leads. Without leader election any other name is answered like ``readiness``, as the
reference does; with it, a mistyped name has to be told from a replica that waits."""


class Picker:
    """The endpoint picker of one pool.

    Raises:
        ValueError: an environment variable has a value it cannot have, or options contradict each other.
        InvalidPolicy: the configuration is not valid.
        TlsError: a certificate, key or CA file cannot be used.
    """

    def __init__(
        self,
        options: EppOptions,
        source: Source,
        pool: Pool,
        environment: Mapping[str, str],
        cluster: InCluster | None = None,
    ) -> None:
        """``cluster`` is what there is besides where ``source`` is an API server."""
        self._cluster = cluster
        self._options = options
        self._source = source
        self._pool = pool
        self._draining = False
        self.listening = asyncio.Event()
        """Set once all ports are open."""
        metrics = PickerMetrics(ReportedLoad(pool), build_ref=__version__)
        self._configuration = None if options.config_file is None else ConfigurationFile(options.config_file)
        pool.scraping_every(options.scrape_interval)
        policy = self._configuration.load() if self._configuration is not None else None
        if options.config_text is not None:
            policy = load_policy(options.config_text, name="--config-text")
        decisions = decision_log(options, pool)
        self._director = Director(
            pool,
            starting_rules(policy, pool, environment),
            observer=metrics,
            journal=decisions,
            stopwatch=time.perf_counter,
            fallbacks=options.fallbacks,
        )
        limits = read_limits(options)
        bodies = BodyBudget(limits.server_buffered_bytes, lambda: self._server.buffered_bytes)
        self._room = TurnRoom(self._director, time.monotonic, metrics.flow.looked)
        self.tokens = TokenClient(lambda: pool.endpoints)
        self.kv_events = EventsFollower(self._director)
        asking = AskingRoom(self._director, self.tokens, self._room, time.monotonic)
        terms = Terms(max_body=options.body_limit, bodies=bodies, room=asking)
        if not read_streaming(environment):
            terms = replace(terms, request_body_mode=_BUFFERED, response_body_mode=_BUFFERED)
        self._tls = read_tls(options)
        self._server = GrpcServer(picker_routes(self._director, time.monotonic, terms), limits)
        self._health = HealthService(self._status)
        metrics_server = MetricsServer(
            metrics.registry,
            healthy=lambda: self._status("readiness") is ServingStatus.SERVING,
            guard=None if cluster is None else cluster.guard,
        )
        self._ports = Ports(options, self._server, GrpcServer(self._health.routes()), metrics_server, self._tls)
        if cluster is not None:
            metrics.registry.register(cluster.collector)
            cluster.on_change(self._health.notify)
        self._admin = AdminPages(
            options,
            self._director,
            decisions,
            self._configuration,
            lambda: source.problems,
            lambda: precise_page(self._director.rules, self.kv_events, self.tokens),
        )
        metrics.registry.register(PreciseCollector(self._director, self.kv_events, self.tokens))
        self._admin.add_to(metrics_server)
        metrics.registry.register(self._admin.faults())
        metrics.registry.register(TransportCollector(self._server))
        metrics.registry.register(FlowCollector(metrics.flow, self._director, time.monotonic))
        metrics.registry.register(FairnessCollector(self._director, time.monotonic))
        self._models_poller = ModelsPoller(pool)
        self._poller = MetricsPoller(
            ScrapedRoom(pool, self._room), options.scrape_interval, engines=engines(options), path=options.scrape_path
        )

    @property
    def director(self) -> Director:
        """Who decides."""
        return self._director

    @property
    def grpc_port(self) -> int:
        """The ext_proc port; 0 before it is open."""
        return self._ports.grpc

    @property
    def health_port(self) -> int:
        """The gRPC health port; 0 before it is open."""
        return self._ports.health

    @property
    def metrics_port(self) -> int:
        """The metrics port. Raises `RuntimeError` before it is open."""
        return self._ports.metrics

    async def run(self, stop: Stop) -> None:
        """Serve until asked to stop, then drain; asked again, close at once.

        Raises:
            OSError: a port cannot be had; the message names it.
        """
        try:
            await self._ports.open()
            self._admin.open(self._ports.metrics)
            self.listening.set()
            self._log_ready()
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(self._poller.run()),
                    tasks.create_task(self._models_poller.run()),
                    tasks.create_task(self.kv_events.run()),
                    tasks.create_task(self._follow_source()),
                ]
                if self._configuration is not None:
                    background.append(tasks.create_task(self._configuration.follow(self._director, self._room.freed)))
                if self._tls is not None:
                    background.append(tasks.create_task(keep_renewed(self._tls)))
                election = None if self._cluster is None else tasks.create_task(self._cluster.stand())
                await stop.gently.wait()
                if election is not None:
                    election.cancel()  # which gives the lease up, while this replica drains
                await self._drain(stop)
                for task in background:
                    task.cancel()
        finally:
            await self._ports.close()
            self.tokens.close()
            self._admin.close()
            if self._cluster is not None:
                await self._cluster.close()
        log.info("stopped")

    async def _drain(self, stop: Stop) -> None:
        self._draining = True
        self._health.notify()
        options = self._options
        seconds = options.drain_delay + options.drain_seconds
        closing = asyncio.get_running_loop().call_later(seconds - min(_CLOSING, seconds / 2), self._room.close)
        await drain(self._server, options.drain_seconds, stop, log, delay=options.drain_delay)
        closing.cancel()
        self._room.close()

    def _status(self, service: str) -> ServingStatus:
        if service not in HEALTH_SERVICES and self._cluster is not None and self._cluster.elects:
            return ServingStatus.SERVICE_UNKNOWN
        waiting = self._pool.spec is None or (self._cluster is not None and self._cluster.stands_back)
        if service == "liveness" or not (waiting or self._draining):
            return ServingStatus.SERVING
        return ServingStatus.NOT_SERVING

    async def _follow_source(self) -> None:
        known = self._pool.spec is not None
        async for _ in self._source.changes():
            self._poller.wake()
            self._models_poller.wake()
            self.kv_events.wake()
            self._health.notify()
            self._room.freed()
            if known is not (known := self._pool.spec is not None):
                log.info("pool found" if known else "pool gone", extra={"endpoints": len(self._pool.endpoints)})

    def _log_ready(self) -> None:
        log.info(
            "endpoint picker ready" if self._pool.spec is not None else "endpoint picker waits for its pool",
            extra={
                "pool": f"{self._pool.namespace}/{self._pool.name}",
                **self._ports.places(),
            },
        )
