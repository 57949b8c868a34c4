"""``signalbox bbr``: body-based routing, put together from ext_proc, base models, health and metrics."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode

from signalbox import __version__
from signalbox.bbr import BaseModels, BodyTerms, ClusterModels, ModelDirectory, RouterMetrics, router_routes
from signalbox.cli.bbr_plugins import plugin_notes
from signalbox.cli.certificate import keep_renewed, read_tls
from signalbox.cli.descriptors import allow_descriptors
from signalbox.cli.draining import drain
from signalbox.cli.limits import ENVELOPE, MIB, with_others
from signalbox.cli.metrics_guard import MetricsGuard
from signalbox.cli.ports import Ports
from signalbox.cli.stopping import Stop, stop_on_signals
from signalbox.cluster import Access, Api, NoAccess, Reviews, find_access
from signalbox.cluster.access import SERVICE_ACCOUNT
from signalbox.observability import MetricsServer, TransportCollector, configure_logging, level_of_verbosity
from signalbox.wire import GrpcServer, HealthService, Limits, ServingStatus, TlsError

log = logging.getLogger("signalbox.bbr")


@dataclass(frozen=True, slots=True)
class BbrOptions:
    """Options of body-based routing; times in seconds, sizes in bytes."""

    source: Path | None
    namespace: str
    kubeconfig: Path | None
    streaming: bool
    host: str
    grpc_port: int
    health_port: int
    metrics_port: int
    body_limit: int
    drain_seconds: float
    drain_delay: float
    verbosity: int
    log_format: str
    secure_serving: bool
    cert_path: Path | None
    client_ca_file: Path | None
    metrics_endpoint_auth: bool | None = None
    """``None``: where base models come from an API server."""
    plugins: tuple[str, ...] = ()
    """As the reference is told them: ``type:name``, with ``:`` and JSON after it."""
    transport_limits: tuple[str, ...] = ()
    """Limits of the transport that have no option of their own: ``name=number``."""
    notes: tuple[str, ...] = ()
    """What to tell the user about flags that were accepted and have no effect."""


def run(options: BbrOptions) -> int:
    """Run until stopped; return the exit code.

    That is 0, 1 when a port or a watch on files cannot be had, 2 for options that make no sense.
    """
    try:
        level = level_of_verbosity(options.verbosity)
        configure_logging(level, "console" if options.log_format == "console" else "json")
        if options.log_format not in ("json", "console"):
            raise ValueError(f"--log-format {options.log_format}: use json or console")
        for note in (*options.notes, *plugin_notes(options.plugins)):
            log.info("flag has no effect", extra={"note": note})
        if options.source is not None and not options.source.is_dir():
            raise ValueError(f"--source {options.source}: no such directory")
        allow_descriptors(_limits(options).connections, log, "--transport-limit connections=")
        uvloop.run(_serve(options, os.environ))
    except (TlsError, NoAccess, ValueError) as error:
        return _fail(error, 2)
    except OSError as error:
        return _fail(error.strerror or error, 1)
    except ExceptionGroup as failures:
        unwatched, others = failures.split(OSError)
        if others is not None or unwatched is None:
            raise
        return _fail(unwatched.exceptions[0], 1)
    return 0


def _fail(problem: object, status: int) -> int:
    print(f"signalbox bbr: {problem}", file=sys.stderr)
    return status


async def _serve(options: BbrOptions, environment: Mapping[str, str]) -> None:
    access = reach_cluster(options, environment)
    if access is None:
        if options.metrics_endpoint_auth:
            raise ValueError(
                "--metrics-endpoint-auth asks an API server who may read the metrics: give --kubeconfig FILE, or give"
                " the pod a service account's token"
            )
        await BodyRouter(options).run(stop_on_signals())
        return
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they log every request, and every step of each
    api = Api(access)
    try:
        log.info("following an API server", extra={"access": str(access), "namespace": options.namespace})
        guard = MetricsGuard(Reviews(api, time.monotonic)) if options.metrics_endpoint_auth is not False else None
        await BodyRouter(options, ClusterModels(api, options.namespace), guard).run(stop_on_signals())
    finally:
        await api.close()


def reach_cluster(options: BbrOptions, environment: Mapping[str, str]) -> Access | None:
    """Return the way to the API server; ``None`` where there is no sign that one is meant.

    Base models are optional, and a pod without a service account's token is one that wants none of them.

    Raises:
        NoAccess: the way that is named cannot be gone.
        ValueError: both a directory and a way are named.
    """
    if options.source is not None:
        if options.kubeconfig is not None:
            raise ValueError("--kubeconfig is for reading ConfigMaps of a cluster: drop it, or --source")
        return None
    in_pod = environment.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").is_file()
    if options.kubeconfig is None and not environment.get("KUBECONFIG") and not in_pod:
        return None
    return find_access(options.kubeconfig, environment)


class BodyRouter:
    """One process of body-based routing.

    Raises:
        TlsError: a certificate, key or CA file cannot be used.
        ValueError: options contradict each other.
    """

    def __init__(
        self, options: BbrOptions, cluster: ClusterModels | None = None, guard: MetricsGuard | None = None
    ) -> None:
        """Base models come from ``cluster``, else from the options' directory, else there are none.

        ``guard`` says who may read the metrics: everybody without it.
        """
        self._options = options
        self._draining = False
        self.listening = asyncio.Event()
        """Set once all ports are open."""
        self._known: ModelDirectory | ClusterModels | None = cluster
        if cluster is None and options.source is not None:
            self._known = directory = ModelDirectory(options.source, options.namespace)
            directory.load()
        metrics = RouterMetrics(build_ref=__version__)
        mode = ProcessingMode.FULL_DUPLEX_STREAMED if options.streaming else ProcessingMode.BUFFERED
        self._tls = read_tls(options)
        self._server = GrpcServer(
            router_routes(self._models, metrics, time.perf_counter, BodyTerms(mode, options.body_limit)),
            _limits(options),
        )
        metrics.registry.register(TransportCollector(self._server))
        self._cluster = cluster
        self._health = HealthService(self._status)
        if cluster is not None:
            cluster.on_change(self._health.notify)
        metrics_server = MetricsServer(metrics.registry, guard=guard)
        self._ports = Ports(options, self._server, GrpcServer(self._health.routes()), metrics_server, self._tls)

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
        options = self._options
        try:
            await self._ports.open()
            self.listening.set()
            waits = self._cluster is not None and not self._cluster.known
            ready = "body-based routing waits for its ConfigMaps" if waits else "body-based routing ready"
            log.info(ready, extra={**self._ports.places(), "names": len(self._models().by_name)})
            async with asyncio.TaskGroup() as tasks:
                background = []
                if self._known is not None:
                    background.append(tasks.create_task(self._known.follow()))
                if self._tls is not None:
                    background.append(tasks.create_task(keep_renewed(self._tls)))
                await stop.gently.wait()
                self._draining = True
                self._health.notify()
                await drain(self._server, options.drain_seconds, stop, log, delay=options.drain_delay)
                for task in background:
                    task.cancel()
        finally:
            await self._ports.close()
        log.info("stopped")

    def _models(self) -> BaseModels:
        return BaseModels() if self._known is None else self._known.models

    def _status(self, service: str) -> ServingStatus:
        """``liveness`` serves as long as the process does. All other names are the same, since the reference's
        manifests probe several: not before base models are known, without which requests would lose a header."""
        unread = self._cluster is not None and not self._cluster.known
        if service == "liveness" or not (unread or self._draining):
            return ServingStatus.SERVING
        return ServingStatus.NOT_SERVING


def _limits(options: BbrOptions) -> Limits:
    """Room for the longest body and what is around it, with its like beside it."""
    message = options.body_limit + ENVELOPE
    buffered = max(256 * MIB, 2 * message)
    named = {
        "message_bytes": message,
        "buffered_bytes": buffered,
        "server_buffered_bytes": max(1024 * MIB, 4 * buffered),
    }
    return with_others(named, options.transport_limits, {"message_bytes": "--body-limit"})
