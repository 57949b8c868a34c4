"""Passes over time: one at a time, for whatever reason one is due."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from signalbox.adapters.backoff import Backoff
from signalbox.adapters.config import SyncConfig
from signalbox.adapters.config_file import ConfigFile, watch
from signalbox.adapters.metrics import SyncMetrics
from signalbox.adapters.reconcile import Reconciler, Result
from signalbox.adapters.server_api import ServerAPI

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: how long a server may take to become healthy, how often it is asked meanwhile, and between passes."""

    health_timeout: float = 300.0
    health_interval: float = 2.0
    period: float = 5.0


class SyncLoop:
    """Reconciles at the start, when the configuration changes, every period, and when a failed adapter is due again.

    All triggers set one event, so that any number of them while a pass is under way lead to one more. ``connect`` gives
    the client for the server a configuration names.
    """

    def __init__(
        self,
        file: ConfigFile,
        connect: Callable[[SyncConfig], ServerAPI],
        reconciler: Reconciler,
        backoff: Backoff,
        metrics: SyncMetrics,
        timing: Timing,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.changed = asyncio.Event()
        self._file = file
        self._connect = connect
        self._reconciler = reconciler
        self._backoff = backoff
        self._metrics = metrics
        self._timing = timing
        self._clock = clock
        self._unhealthy = ""
        self._last: tuple[Result, SyncConfig | None] | None = None

    async def run(self) -> None:
        """Reconcile until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(self._file.path, self.changed), name="watch")
            while True:
                result = await self.once()
                if result is not Result.SUPERSEDED:
                    await self._pause(result)

    async def once(self) -> Result:
        """Do one pass now, waiting for the server to be healthy if need be."""
        self.changed.clear()
        self._file.refresh()
        self._metrics.config_valid(self._file.valid)
        config = self._file.config
        result = Result.INVALID_CONFIG
        if config is not None:
            api = self._connect(config)
            result = await self._wait_until_healthy(api)
            if result is Result.OK:
                result = await self._reconciler.reconcile(config, api, self._superseded)
        self._metrics.reconciled(result, time.time())
        return result

    def _superseded(self) -> bool:
        """Whether another configuration is in force than when the pass began."""
        if not self.changed.is_set():
            return False
        self.changed.clear()
        newer = self._file.refresh()
        self._metrics.config_valid(self._file.valid)
        return newer

    async def _wait_until_healthy(self, api: ServerAPI) -> Result:
        give_up = self._clock() + self._timing.health_timeout
        while not await api.healthy():
            if self._unhealthy != api.server:
                log.info("model server %s is not healthy, waiting up to %gs", api.server, self._timing.health_timeout)
                self._unhealthy = api.server
            left = give_up - self._clock()
            if left <= 0:
                log.error("vllm server at %s not healthy", api.server)
                return Result.UNHEALTHY
            await self._changed_within(min(self._timing.health_interval, left))
            if self._superseded():
                return Result.SUPERSEDED
        if self._unhealthy:
            log.info("model server %s is healthy", api.server)
            self._unhealthy = ""
        return Result.OK

    async def _pause(self, result: Result) -> None:
        """Wait for the next reason to reconcile."""
        state = result, self._file.config
        level = logging.DEBUG if state == self._last else logging.INFO
        self._last = state
        log.log(level, "Waiting %gs before next reconciliation...", self._timing.period)
        start = self._clock()
        due = start + self._timing.period
        retry = self._backoff.next_due()
        if retry is not None:
            # A retry already due was held back for another reason; it comes with the period.
            due = min(due, retry) if retry > start else due
        while (left := due - self._clock()) > 0:
            if await self._changed_within(left) and self._superseded():
                log.info("configuration %s has changed", self._file.path)
                return
        log.debug("Periodic reconciliation triggered")

    async def _changed_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        except TimeoutError:
            return False
        return True
