"""Scrape every endpoint of a pool, over and over."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from signalbox.pool.endpoints import Endpoint
from signalbox.pool.readings import Readings
from signalbox.signals.connection import PageConnection, ScrapeError
from signalbox.signals.metric_names import ENGINES, MetricNames, engine_for
from signalbox.signals.pace import INTERVAL, SLOWEST, Metered, PollCost, stretched
from signalbox.signals.parse import parse_metrics

log = logging.getLogger(__name__)

_NOTHING = Readings()
_GOLDEN = 0.6180339887498949


Mark = TypeVar("Mark")


class ScrapedPool(Protocol[Mark]):
    """What the poller needs of a pool; a mark is whatever the pool wants back when a scrape has been read."""

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The endpoints to scrape."""

    @property
    def version(self) -> int:
        """Grows whenever ``endpoints`` change."""

    def scraping_every(self, seconds: float, /) -> None:
        """Say how far apart the scrapes of one endpoint are now."""

    def begin_scrape(self, endpoint: Endpoint, /) -> Mark:
        """Say that a scrape begins; the mark goes into ``record``."""

    def record(self, endpoint: Endpoint, readings: Readings, mark: Mark, now: float, /) -> None:
        """Take in what a scrape read."""

    def scrape_failed(self, endpoint: Endpoint, now: float, /) -> None:
        """Say that a scrape failed."""


class MetricsPoller(Generic[Mark]):
    """Keeps a pool's readings fresh.

    Each endpoint has a task of its own, which scrapes, waits and scrapes again: a slow server delays nobody, and never
    has two scrapes under way. ``interval`` and ``timeout`` are seconds; ``interval`` is stretched, up to a second,
    where scraping would cost more than half a core. An endpoint that does not answer is asked ever less often, down to
    once a second. ``clock`` gives the seconds the pool is told as ``now``; ``engines`` are the metric names by type.
    """

    def __init__(
        self,
        pool: ScrapedPool[Mark],
        interval: float = INTERVAL,
        timeout: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        engines: Mapping[str, MetricNames] = ENGINES,
        path: str = "/metrics",
    ) -> None:
        self._pool = pool
        self._asked = interval
        self._timeout = timeout
        self._clock = clock
        self._engines = engines
        self._path = path
        self._woken = asyncio.Event()
        self._cost = PollCost()
        self._following: dict[tuple[str, str], tuple[Endpoint, asyncio.Task[None]]] = {}
        self._turns = itertools.count()

    @property
    def interval(self) -> float:
        """Seconds between two scrapes of one endpoint, as things are now."""
        return stretched(self._asked, len(self._following), self._cost.seconds)

    def wake(self) -> None:
        """Look at the pool's endpoints now; without it a change is seen within a scrape interval."""
        self._woken.set()

    async def run(self) -> None:
        """Scrape until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            seen: int | None = None
            while True:
                self._woken.clear()
                if (version := self._pool.version) != seen:
                    seen = version
                    await self._follow_the_pool(tasks)
                try:
                    async with asyncio.timeout(self._asked):
                        await self._woken.wait()
                except TimeoutError:
                    pass

    async def _follow_the_pool(self, tasks: asyncio.TaskGroup) -> None:
        """Start and stop tasks until there is one for each endpoint of the pool."""
        wanted = {(endpoint.namespace, endpoint.name): endpoint for endpoint in self._pool.endpoints}
        stopped = []
        for key, (endpoint, task) in list(self._following.items()):
            if wanted.get(key) != endpoint:
                task.cancel()
                stopped.append(task)
                del self._following[key]
        # A row may have a new owner: nothing of the old one may be recorded once the new one's task runs.
        await asyncio.gather(*stopped, return_exceptions=True)
        for key, endpoint in wanted.items():
            if key not in self._following:
                task = tasks.create_task(self._follow(endpoint), name=f"scrape {endpoint.name}")
                self._following[key] = endpoint, task

    async def _follow(self, endpoint: Endpoint) -> None:
        """Scrape one endpoint for ever."""
        connection = PageConnection(endpoint.host, endpoint.port, self._path)
        try:
            await self._follow_over(connection, endpoint)
        finally:
            connection.close()

    async def _follow_over(self, connection: PageConnection, endpoint: Endpoint) -> None:
        url = f"http://{endpoint.address}{self._path}"
        names = engine_for(endpoint.labels, self._engines)
        # Multiples of the golden ratio spread any number of endpoints evenly over the interval.
        await asyncio.sleep(self.interval * (next(self._turns) * _GOLDEN % 1.0))
        due = self._clock()
        failures = 0
        failing_since = due
        while True:
            poll = Metered(self._scrape(connection, endpoint, names))
            try:
                await poll
            except (TimeoutError, OSError, ScrapeError) as error:
                now = self._clock()
                self._pool.scrape_failed(endpoint, now)
                if not failures:
                    failing_since = now
                    log.warning(
                        "endpoint %s (%s): no metrics from %s: %s; its last readings stay in use",
                        endpoint.name, endpoint.address, url, _reason(error, self._timeout),
                    )  # fmt: skip
                failures += 1
            else:
                if failures:
                    log.info(
                        "endpoint %s (%s): metrics are back after %.1f s and %d failed scrapes",
                        endpoint.name, endpoint.address, self._clock() - failing_since, failures,
                    )  # fmt: skip
                failures = 0
            self._cost.add(poll.seconds)
            interval = self.interval
            self._pool.scraping_every(interval)
            pause = max(interval, min(SLOWEST, self._asked * 2 ** min(failures, 16)) if failures else 0.0)
            # From the time it was due, not from now: the period is the interval, whatever a scrape takes.
            now = self._clock()
            due = max(due + pause, now)
            await asyncio.sleep(due - now)

    async def _scrape(self, connection: PageConnection, endpoint: Endpoint, names: MetricNames) -> None:
        mark = self._pool.begin_scrape(endpoint)
        async with asyncio.timeout(self._timeout):
            page = await connection.fetch()
        readings = parse_metrics(page, names)
        if readings == _NOTHING:
            raise ScrapeError(
                f"the page has no metric of the engine {names.engine!r}; "
                "set the pod's label inference.networking.k8s.io/engine-type to the engine it runs"
            )
        self._pool.record(endpoint, readings, mark, self._clock())


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout:g} s"
    return str(error) or type(error).__name__
