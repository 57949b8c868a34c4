"""One pass: look at the server, plan, and do what the plan says."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from signalbox.adapters.backoff import Backoff
from signalbox.adapters.config import Adapter, SyncConfig
from signalbox.adapters.metrics import SyncMetrics
from signalbox.adapters.plan import Belief, Plan, plan
from signalbox.adapters.server_api import ServerAPI, ServerError

log = logging.getLogger(__name__)


class Result(StrEnum):
    """How a pass ended; the values of the label ``result`` of ``lora_syncer_reconcile_total``."""

    OK = "ok"
    FAILED = "failed"
    UNHEALTHY = "unhealthy"
    INVALID_CONFIG = "invalid_config"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class _Picture:
    """What a pass leaves behind, as far as its log lines tell: while it stays the same they need not be repeated."""

    config: SyncConfig
    present: frozenset[str]
    absent: frozenset[str]
    unconfirmed: frozenset[tuple[str, str]]


class Reconciler:
    """Brings model servers to their configuration, pass by pass.

    ``file`` is what log lines call the configuration; ``clock`` counts seconds for the back-off of failed adapters.
    """

    def __init__(
        self, metrics: SyncMetrics, backoff: Backoff, file: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._backoff = backoff
        self._file = file
        self._clock = clock
        self._server = ""
        self._beliefs: dict[str, Belief] = {}
        self._picture: _Picture | None = None
        self._listing_error = ""

    async def reconcile(
        self, config: SyncConfig, api: ServerAPI, superseded: Callable[[], bool] = lambda: False
    ) -> Result:
        """Do one pass. ``superseded`` is asked before each request that changes something; if true, the pass ends.

        A failing adapter does not stop the others; it is tried again by a later pass, once its back-off is over. Where
        the server's list cannot be had nothing is loaded or unloaded.
        """
        if api.server != self._server:
            self._server, self._beliefs, self._picture = api.server, {}, None
        try:
            listing = await api.listing(config.default_base_model)
        except ServerError as error:
            # The same trouble in every pass is one line, not one line a pass.
            level = logging.DEBUG if str(error) == self._listing_error else logging.ERROR
            log.log(level, "cannot tell what %s has loaded, nothing is loaded or unloaded: %s", api.server, error)
            self._listing_error = str(error)
            return Result.FAILED
        self._listing_error = ""
        todo = plan(config, listing.adapters, self._beliefs, listing.base_models)
        self._beliefs = dict(todo.beliefs)
        self._backoff.keep({_work(a) for a in (*todo.load, *todo.reload)} | {("unload", id) for id in todo.unload})
        self._say(config, todo, api.server)
        self._show(todo)
        return await self._carry_out(todo, config, api, superseded)

    def _say(self, config: SyncConfig, todo: Plan, server: str) -> None:
        """Write the pass's lines: as news if they are news, else where only a debugger looks."""
        now = self._clock()
        load = [adapter.id for adapter in (*todo.load, *todo.reload) if self._backoff.due(_work(adapter), now)]
        unload = [id for id in todo.unload if self._backoff.due(("unload", id), now)]
        picture = _Picture(
            config,
            frozenset(todo.already_present),
            frozenset(todo.already_absent),
            frozenset(todo.unconfirmed.items()),
        )
        news = picture != self._picture
        level = logging.INFO if news or load or unload else logging.DEBUG
        log.log(level, "reconciling model server %s with config stored at %s", server, self._file)
        if todo.conflicts and news:
            log.warning(
                "skipped adapters found in both `ensureExist` and `ensureNotExist` %s", ", ".join(todo.conflicts)
            )
        if news:
            for id in todo.protected:
                log.error("%s is the name of a base model of %s, left alone; give the adapter another id", id, server)
            for id, root in todo.unconfirmed.items():
                log.warning(
                    "%s on model server %s is listed with root %s, not its source; taken to be the same. If it is not, "
                    "move it to `ensureNotExist` and back",
                    id, server, root,
                )  # fmt: skip
        if load:
            log.info("adapter to load %s", ", ".join(load))
        for id in todo.already_present:
            log.log(logging.INFO if news else logging.DEBUG, "%s already present on model server %s", id, server)
        if unload:
            log.info("adapters to unload %s", ", ".join(unload))
        for id in todo.already_absent:
            log.log(logging.INFO if news else logging.DEBUG, "%s already doesn't exist on model server %s", id, server)
        self._picture = picture

    def _show(self, todo: Plan) -> None:
        listed = (*todo.already_present, *(adapter.id for adapter in todo.reload), *todo.unload)
        unlisted = (*todo.already_absent, *(adapter.id for adapter in todo.load))
        self._metrics.keep_adapters({*listed, *unlisted})
        for id in listed:
            self._metrics.adapter(id, True)
        for id in unlisted:
            self._metrics.adapter(id, False)

    async def _carry_out(
        self, todo: Plan, config: SyncConfig, api: ServerAPI, superseded: Callable[[], bool]
    ) -> Result:
        steps: list[tuple[tuple[str, ...], Callable[[], Awaitable[None]]]] = [
            *((_work(adapter), partial(self._load, adapter, config, api)) for adapter in todo.load),
            *((_work(adapter), partial(self._reload, adapter, config, api)) for adapter in todo.reload),
            *((("unload", id), partial(self._unload, id, api)) for id in todo.unload),
        ]
        result = Result.FAILED if todo.protected else Result.OK
        for work, step in steps:
            if superseded():
                return Result.SUPERSEDED
            if not self._backoff.due(work, self._clock()):
                result = Result.FAILED
                continue
            try:
                await step()
            except ServerError as error:
                result = Result.FAILED
                operation, id = work[0], work[1]
                delay = self._backoff.failed(work, self._clock())
                log.error("error %sing model %s: %s; next attempt in %.1f s", operation, id, error, delay)
                self._metrics.adapter_error(id, operation)
            else:
                self._backoff.succeeded(work)
        return result

    async def _load(self, adapter: Adapter, config: SyncConfig, api: ServerAPI) -> None:
        if await api.load(adapter, adapter.base_model or config.default_base_model):
            self._beliefs[adapter.id] = Belief(adapter.source, None)
            log.info("loaded model %s", adapter.id)
        else:
            log.info("%s already present on model server %s", adapter.id, api.server)
        self._now(adapter.id, loaded=True)

    async def _reload(self, adapter: Adapter, config: SyncConfig, api: ServerAPI) -> None:
        log.info("the source of %s is now %s, loading it anew", adapter.id, adapter.source)
        await self._unload(adapter.id, api)
        await self._load(adapter, config, api)

    async def _unload(self, id: str, api: ServerAPI) -> None:
        if await api.unload(id):
            log.info("unloaded model %s", id)
        else:
            log.info("%s already doesn't exist on model server %s", id, api.server)
        self._beliefs.pop(id, None)
        self._now(id, loaded=False)

    def _now(self, id: str, *, loaded: bool) -> None:
        """Note an adapter's new state, so that the next pass does not tell it as news."""
        self._metrics.adapter(id, loaded)
        if self._picture is None:
            return
        present, absent = self._picture.present - {id}, self._picture.absent - {id}
        listed = any(adapter.id == id for adapter in self._picture.config.ensure_exist.models)
        self._picture = _Picture(
            self._picture.config,
            present | {id} if loaded else present,
            absent if loaded or listed else absent | {id},
            self._picture.unconfirmed,
        )


def _work(adapter: Adapter) -> tuple[str, ...]:
    """What identifies loading an adapter: a new source is new work, which has not failed yet."""
    return ("load", adapter.id, adapter.source)
