"""An HTTP server for metrics, health and whatever else an operator asks a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Denial(NamedTuple):
    """Why a request is not answered: an HTTP status, and a sentence."""

    status: int
    message: str


Guard = Callable[[str, str], Awaitable[Denial | None]]
"""From the path and the Authorization header of a request (empty without one) to ``None``, or why it is denied."""


class _OneFamily(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


class MetricsServer:
    """Serves ``/metrics`` (Prometheus text format 0.0.4) and ``/healthz``, and routes added with `add_get`.

    The answer to a scrape is written one metric family at a time with other work in between, so that a scrape of many
    models does not hold up requests that share the event loop.
    """

    def __init__(
        self, registry: CollectorRegistry, healthy: Callable[[], bool] = lambda: True, guard: Guard | None = None
    ) -> None:
        """``healthy`` decides what ``/healthz`` answers: 200 ``ok`` or 503 ``not ready``.

        ``guard`` is asked about every request but those for ``/healthz``, which kubelets send without a name.
        """
        self._guard = guard
        self._registry = registry
        self._healthy = healthy
        self._app = web.Application(middlewares=[self._admit])
        self._runner: web.AppRunner | None = None
        self._port: int | None = None
        self.add_get("/metrics", self._metrics)
        self.add_get("/healthz", self._health)

    def add_get(self, path: str, handler: Handler) -> None:
        """Answer GET (and HEAD) requests for ``path`` with ``handler``. Call before `start`."""
        self._app.router.add_get(path, handler)

    @property
    def port(self) -> int:
        """The port that is listened on. Raises `RuntimeError` before `start`."""
        if self._port is None:
            raise RuntimeError("the metrics server has no port before start()")
        return self._port

    async def start(self, host: str, port: int) -> None:
        """Listen on ``host``:``port``; port 0 takes a free one. Raises `OSError` when it cannot."""
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            reason = error.strerror or str(error)
            raise OSError(error.errno, f"metrics cannot listen on {host}:{port}: {reason}") from error
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._runner is not None:
            runner, self._runner, self._port = self._runner, None, None
            await runner.cleanup()

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._guard is not None and request.path != "/healthz":
            denial = await self._guard(request.path, request.headers.get("Authorization", ""))
            if denial is not None:
                headers = {"WWW-Authenticate": "Bearer"} if denial.status == 401 else {}
                return web.json_response({"error": denial.message}, status=denial.status, headers=headers)
        return await handler(request)

    async def _metrics(self, _request: web.Request) -> web.Response:
        pieces = []
        for family in self._registry.collect():
            pieces.append(generate_latest(_OneFamily(family)))
            await asyncio.sleep(0)
        return web.Response(body=b"".join(pieces), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if self._healthy() else web.Response(text="not ready\n", status=503)
