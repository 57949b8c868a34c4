"""Follows the KV-cache events of a pool's engines, into the precise index of the rules in force."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

import msgspec
import zmq
import zmq.asyncio

from signalbox.director import Director, PreciseTracker
from signalbox.pool import Endpoint
from signalbox.pool.endpoints import join_address
from signalbox.resources.annotations import DOMAIN
from signalbox.signals.kv_events.feed import Replays, follow, numbered, subscriber
from signalbox.signals.kv_events.intake import FeedFigures, Intake

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds after which the pool is looked at though nobody called."""
PORT_LABEL = f"{DOMAIN}kv-events-port"
"""A label of Pods: the port of its publisher, where that is not socketPort. Servers outside of a cluster may share an
address."""
REPLAY_PORT_LABEL = f"{DOMAIN}kv-events-replay-port"
"""A label of Pods: the same for replaySocketPort."""
STRANGERS = 1000
"""Sources without an endpoint that are remembered, so as to be told of once."""


class _Feed(msgspec.Struct, eq=False):
    """One endpoint whose events are taken in."""

    endpoint: Endpoint
    intake: Intake
    addresses: tuple[str, str] = ("", "")
    """Where its publisher and the replays are; empty where publishers come to us."""
    task: asyncio.Task[None] | None = None
    """Its own connection; ``None`` where publishers come to us."""


class EventsFollower:
    """Takes in the events of one director's pool. To be used on one event loop."""

    def __init__(self, director: Director) -> None:
        self._director = director
        self._woken = asyncio.Event()
        self._context: zmq.asyncio.Context | None = None
        self._replays: Replays | None = None
        self._tracker: PreciseTracker | None = None
        self._feeds: dict[tuple[str, str], _Feed] = {}
        self._central: asyncio.Task[None] | None = None
        self._strangers: set[str] = set()
        self._past: dict[str, int] = {}
        _add(self._past, FeedFigures())
        self.unattributed = 0
        """Messages of sources that are no endpoint of the pool."""
        self.trouble = ""
        """Why no events come at all; empty where nothing stands in their way."""

    def wake(self) -> None:
        """Look at the pool and the rules now."""
        self._woken.set()

    def totals(self) -> dict[str, int]:
        """What came of all endpoints' messages, of those that have left as well."""
        totals = dict(self._past)
        for feed in self._feeds.values():
            _add(totals, feed.intake.figures)
        return totals

    def figures(self) -> Mapping[str, FeedFigures]:
        """What came of each endpoint's messages, by its name."""
        return {feed.endpoint.name: feed.intake.figures for feed in self._feeds.values()}

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                self._woken.clear()
                prefix = self._director.rules.prefix
                tracker = prefix if isinstance(prefix, PreciseTracker) else None
                if tracker is not self._tracker:
                    await self._stop()
                    self._tracker = tracker
                if tracker is not None:
                    self._start(tracker)
                    await self._follow_the_pool(tracker)
                try:
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            await self._stop()
            if self._context is not None:
                self._context.destroy(0)

    def _start(self, tracker: PreciseTracker) -> None:
        if self._context is None:
            self._context = zmq.asyncio.Context()
            self._replays = Replays(self._context)
        events = tracker.precise.kv_events_config
        if events.central and (self._central is None or self._central.done()):
            self._central = asyncio.create_task(self._receive(tracker, self._context), name="KV-cache events")

    async def _stop(self) -> None:
        tasks = [feed.task for feed in self._feeds.values() if feed.task is not None]
        if self._central is not None:
            tasks.append(self._central)
            self._central = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for feed in self._feeds.values():
            _add(self._past, feed.intake.figures)
        self._feeds.clear()
        self.trouble = ""

    async def _follow_the_pool(self, tracker: PreciseTracker) -> None:
        present = {(endpoint.namespace, endpoint.name): endpoint for endpoint in self._director.pool.endpoints}
        gone = []
        for key, feed in list(self._feeds.items()):
            known = present.get(key)
            stays = known is not None and known.same_server(feed.endpoint)
            if known is None or not stays or addresses_of(tracker, known) != feed.addresses:
                del self._feeds[key]
                gone.append((feed, stays))
        for feed, stays in gone:
            if feed.task is not None:
                feed.task.cancel()
                await asyncio.gather(feed.task, return_exceptions=True)
            _add(self._past, feed.intake.figures)
            if not stays:
                tracker.forget(feed.endpoint)
        for key, endpoint in present.items():
            if key not in self._feeds:
                tracker.begin(endpoint)
                self._feeds[key] = self._feed(tracker, endpoint)

    def _feed(self, tracker: PreciseTracker, endpoint: Endpoint) -> _Feed:
        events, context, replays = tracker.precise.kv_events_config, self._context, self._replays
        assert context is not None
        assert replays is not None
        if events.central:
            return _Feed(endpoint, Intake(endpoint, tracker.take_in, tracker.lose))
        address, again = addresses = addresses_of(tracker, endpoint)
        intake = Intake(endpoint, tracker.take_in, tracker.lose)
        if again:

            def missed(start: int) -> AsyncIterator[tuple[int, bytes]]:
                if not start:  # of a publisher that has just begun, or with which we have
                    replays.forget(again)
                return replays.ask(again, start)

            intake = Intake(endpoint, tracker.take_in, tracker.lose, missed)
        task = asyncio.create_task(
            follow(context, address, events.topic_filter or "", intake), name=f"KV-cache events of {endpoint.name}"
        )
        return _Feed(endpoint, intake, addresses, task)

    # -- publishers that come to us -----------------------------------------------------------------------------

    async def _receive(self, tracker: PreciseTracker, context: zmq.asyncio.Context) -> None:
        events = tracker.precise.kv_events_config
        topics = "kv@" if events.topic_filter is None else events.topic_filter
        socket = subscriber(context, topics)
        try:
            try:
                socket.bind(events.zmq_endpoint)
            except zmq.ZMQError as error:
                trouble = f"kvEventsConfig.zmqEndpoint {events.zmq_endpoint}: {error}; choose another"
                if trouble != self.trouble:
                    log.error("no KV-cache events: %s", trouble)
                self.trouble = trouble
                return
            self.trouble = ""
            while True:
                frames = await socket.recv_multipart()
                message = numbered(frames)
                feed = self._source(frames[0]) if message is not None else None
                if feed is None or message is None:
                    self.unattributed += 1
                    await asyncio.sleep(0)
                    continue
                feed.intake.figures.connected = True
                await feed.intake.message(*message)
        finally:
            socket.close(0)

    def _source(self, topic: bytes) -> _Feed | None:
        """Who sent a message: its topic is ``kv@SOURCE@MODEL``, the source an address, an IP or a pod."""
        source = topic.decode("utf-8", "replace").partition("@")[2].partition("@")[0]
        pool = self._director.pool
        endpoint = pool.at(source)
        if endpoint is None:
            named = [
                feed.endpoint
                for feed in self._feeds.values()
                if source in (feed.endpoint.pod, feed.endpoint.name, feed.endpoint.host)
            ]
            endpoint = named[0] if len(named) == 1 else None
        feed = None if endpoint is None else self._feeds.get((endpoint.namespace, endpoint.name))
        if feed is None and source not in self._strangers and len(self._strangers) < STRANGERS:
            self._strangers.add(source)
            log.warning("KV-cache events of %r are left out: it is no endpoint of the pool, or several", source)
        return feed


def _add(totals: dict[str, int], figures: FeedFigures) -> None:
    for name in FeedFigures.__struct_fields__:
        if name != "connected":
            totals[name] = totals.get(name, 0) + getattr(figures, name)


def addresses_of(tracker: PreciseTracker, endpoint: Endpoint) -> tuple[str, str]:
    """Return where an endpoint's publisher and its replays are; empty where there is none to connect to."""
    events = tracker.precise.kv_events_config
    if events.central:
        return "", ""
    discovery = events.pod_discovery_config
    return (
        address_of(endpoint, PORT_LABEL, discovery.socket_port),
        address_of(endpoint, REPLAY_PORT_LABEL, discovery.replay_socket_port),
    )


def address_of(endpoint: Endpoint, label: str, port: int) -> str:
    """Return where an endpoint's socket is: at ``port`` and its rank, or where ``label`` says; empty for port 0."""
    own = endpoint.labels.get(label, "")
    if own.isdecimal() and 0 < int(own) < 65536:
        return f"tcp://{join_address(endpoint.host, int(own))}"
    return f"tcp://{join_address(endpoint.host, port + rank_of(endpoint))}" if port else ""


def rank_of(endpoint: Endpoint) -> int:
    """Return the rank of an endpoint among those of its pod, 0 where it is alone."""
    rank = endpoint.name.removeprefix(f"{endpoint.pod}-rank-")
    return int(rank) if rank != endpoint.name and rank.isdecimal() else 0
