"""Following one collection of objects over the network."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from signalbox.cluster.api import Api
from signalbox.cluster.codec import Bookmark, Codec, Lines, Unreadable
from signalbox.cluster.errors import ApiFailure, Refused
from signalbox.cluster.reflector import Reflector
from signalbox.cluster.steps import Change, Item, List, Pause, Phase, Watch

log = logging.getLogger("signalbox.kubernetes")

T = TypeVar("T", bound=Item)

GRACE_SECONDS = 15.0
"""How long after the end of a watch the server may take to end it; a silent one is given up then."""

Deliver = Callable[[Sequence[Change[T]]], None]


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects of one kind in one namespace, narrowed down by selectors in Kubernetes' own notation."""

    group: str
    """The API group; empty for the core group."""
    version: str
    plural: str
    namespace: str
    selectors: tuple[tuple[str, str], ...] = field(default=())
    """Query parameters: ``fieldSelector`` and ``labelSelector``."""

    @property
    def path(self) -> str:
        """The path of the collection, as ``kubectl get --raw`` takes it."""
        root = f"/apis/{self.group}" if self.group else "/api"
        return f"{root}/{self.version}/namespaces/{self.namespace}/{self.plural}"

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Follower(Generic[T]):
    """Runs a reflector: hands each batch of changes to ``deliver``, for ever, whatever the server does."""

    def __init__(
        self,
        api: Api,
        collection: Collection,
        codec: Codec[T],
        reflector: Reflector[T],
        deliver: Deliver[T],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``deliver`` is called with an empty batch too: when a first list is complete, or the phase has changed."""
        self.collection = collection
        self.reflector = reflector
        self._api = api
        self._codec = codec
        self._deliver = deliver
        self._clock = clock
        self._sleep = sleep
        self._said = ""
        self._forgotten = 0
        self._phase = Phase.STARTING

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            step = self.reflector.step()
            try:
                match step:
                    case Pause(seconds):
                        await self._sleep(seconds)
                    case List():
                        await self._list(step)
                    case Watch():
                        await self._watch(step)
            except ApiFailure as failure:
                self._deliver(self.reflector.failed(failure, self._clock()))
            except Unreadable as error:
                self.reflector.unreadable(str(error), self._clock())
                self._deliver([])
            self._report()

    async def _list(self, step: List) -> None:
        params = dict(self.collection.selectors)
        if step.limit:
            params["limit"] = str(step.limit)
        if step.more:
            params["continue"] = step.more
        page = self._codec.page(await self._api.request("GET", self.collection.path, params))
        self._deliver(self.reflector.page(page.items, page.version, page.more))

    async def _watch(self, step: Watch) -> None:
        params = dict(self.collection.selectors) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": step.version,
            "timeoutSeconds": str(step.seconds),
        }
        lines = Lines()
        async with self._api.stream(self.collection.path, params, step.seconds + GRACE_SECONDS) as chunks:
            self.reflector.opened(self._clock())
            self._report()
            async for chunk in chunks:
                self._take(lines.feed(chunk))
        self.reflector.ended(self._clock())

    def _take(self, lines: Sequence[bytes]) -> None:
        """Hand over what these lines change, in one batch, also where one of them is the last that makes sense."""
        changes: list[Change[T]] = []
        try:
            for line in lines:
                event = self._codec.event(line)
                if isinstance(event, Refused):
                    raise event
                if isinstance(event, Bookmark):
                    self.reflector.bookmarked(event.version)
                    continue
                changes += self.reflector.happened(event.kind, event.item)
        finally:
            if changes:
                self._deliver(changes)

    def _report(self) -> None:
        """Log what changed about the following itself, each thing once."""
        reflector = self.reflector
        if reflector.phase is not self._phase:
            before, self._phase = self._phase, reflector.phase
            told = {"resource": str(self.collection), "objects": len(reflector)}
            if reflector.phase is Phase.FOLLOWED:
                log.info("resource followed", extra=told | {"before": str(before)})
            elif reflector.phase is Phase.ABSENT:
                log.info("resource is not installed in this cluster; asked for again now and then", extra=told)
        if reflector.forgotten != self._forgotten:
            self._forgotten = reflector.forgotten
            log.info(
                "resource is listed anew: the API server has no history that far back",
                extra={"resource": str(self.collection)},
            )
        if reflector.problem != self._said:
            self._said = reflector.problem
            if reflector.problem and reflector.phase is not Phase.ABSENT:
                log.warning(
                    "resource cannot be followed; what was known stays in force",
                    extra={"resource": str(self.collection), "problem": reflector.problem},
                )
