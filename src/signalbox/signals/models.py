"""Ask every endpoint of a pool which models it has, at a slow pace, where that matters."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from signalbox.pool import Endpoint, ModelList
from signalbox.signals.connection import PageConnection, ScrapeError
from signalbox.signals.model_list import parse_models
from signalbox.signals.pace import Metered, PollCost

log = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two questions to one endpoint."""
CPU_BUDGET = 0.02
"""Cores all questions together may use; with more endpoints the interval grows, to `SLOWEST` at most."""
SLOWEST = 30.0
FORGIVEN = 3
"""Questions in a row that may go unanswered before what an endpoint listed stops counting as known."""


class _Catalogue(Protocol):
    @property
    def targets(self) -> Collection[str]:
        """The names requests may be sent on under."""


class ListedPool(Protocol):
    """What the poller needs of a pool."""

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        """The endpoints to ask."""

    @property
    def catalogue(self) -> _Catalogue:
        """Says whether it matters who has which model."""

    def record_models(self, endpoint: Endpoint, models: ModelList | None, /) -> None:
        """Take in a list; ``None`` when it is not known any more."""


@dataclass(slots=True)
class _Server:
    """One endpoint and when to ask it next."""

    endpoint: Endpoint
    connection: PageConnection
    due: float = -math.inf
    failures: int = 0


class ModelsPoller:
    """Keeps the lists of a pool's servers (``GET /v1/models``) fresh.

    It asks only while some InferenceModel or InferenceModelRewrite names targets: without one every request goes on
    under the name it came with, and there is nothing to hold back. A new endpoint is asked at once, each every
    ``interval`` seconds. One that stops answering keeps its last list for a while; one that never answered counts as
    one that may have any model.
    """

    def __init__(
        self,
        pool: ListedPool,
        interval: float = INTERVAL,
        timeout: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        path: str = "/v1/models",
    ) -> None:
        self._pool = pool
        self._asked = interval
        self._timeout = timeout
        self._clock = clock
        self._path = path
        self._woken = asyncio.Event()
        self._cost = PollCost()
        self._servers: dict[tuple[str, str], _Server] = {}

    @property
    def interval(self) -> float:
        """Seconds between two questions to one endpoint, as things are now."""
        return max(self._asked, min(SLOWEST, len(self._servers) * self._cost.seconds / CPU_BUDGET))

    def wake(self) -> None:
        """Look at the pool now; without it a change is seen within an interval."""
        self._woken.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                self._woken.clear()
                self._follow_the_pool()
                now = self._clock()
                due = [server for server in self._servers.values() if server.due <= now]
                await asyncio.gather(*map(self._ask, due))
                pause = self.interval
                for server in due:
                    server.due = now + pause
                soonest = min((server.due for server in self._servers.values()), default=now + pause)
                try:
                    async with asyncio.timeout(max(0.0, soonest - self._clock())):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            for server in self._servers.values():
                server.connection.close()

    def _follow_the_pool(self) -> None:
        """Know the endpoints that are to be asked; forget what those listed that are not."""
        wanted = self._pool.endpoints if self._pool.catalogue.targets else ()
        present = {(endpoint.namespace, endpoint.name): endpoint for endpoint in wanted}
        for key, server in list(self._servers.items()):
            known = present.get(key)
            if known is not None and known.same_server(server.endpoint):
                server.endpoint = known
            else:
                server.connection.close()
                self._pool.record_models(server.endpoint, None)
                del self._servers[key]
        for key, endpoint in present.items():
            if key not in self._servers:
                self._servers[key] = _Server(endpoint, PageConnection(endpoint.host, endpoint.port, self._path))

    async def _ask(self, server: _Server) -> None:
        poll = Metered(self._fetch(server))
        models = await poll
        self._cost.add(poll.seconds)
        if models is not None:
            server.failures = 0
            self._pool.record_models(server.endpoint, models)
            return
        server.failures += 1
        if server.failures == FORGIVEN:
            self._pool.record_models(server.endpoint, None)

    async def _fetch(self, server: _Server) -> ModelList | None:
        try:
            async with asyncio.timeout(self._timeout):
                body = await server.connection.fetch()
        except (TimeoutError, OSError, ScrapeError) as error:
            log.debug("endpoint %s: no list of models: %r", server.endpoint.name, error)
            return None
        return parse_models(body)
