"""All requests of one pool that wait."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from signalbox.admission.flow.band import Band, BandFigures
from signalbox.scheduling.checked_flow import check_ceilings
from signalbox.scheduling.flow_settings import FlowSettings
from signalbox.scheduling.queueing import FairnessPlugin, Flow, Turn, UsageLimitPlugin
from signalbox.scheduling.ranked import Ranked

IDLE = 600.0
"""Seconds after which a band that the configuration does not name is forgotten when nobody waits in it."""


class FlowQueues:
    """Bands of queues, from the highest priority to the lowest.

    There is a band for every priority that the configuration names and for 0. Another gets one, by the configuration's
    template, when the first request of that priority comes: priorities come from objects of the pool, never from
    clients, so that there are few.
    """

    def __init__(self, settings: FlowSettings) -> None:
        self.settings = settings
        self._bands: dict[int, Band] = {}
        self._order: tuple[Band, ...] = ()
        self._priorities: tuple[int, ...] = ()
        self._waiting: Ranked[Turn] = Ranked()
        self._bytes = 0
        self._number = 0
        self.held_up = False
        """Whether the last `next` let nobody go for the pool being too full; not where a ceiling of 0 closed a band
        whatever the saturation, as a policy may at some looks."""
        limit = type(settings.usage_limit)
        self._singles_out = (
            limit.ceiling is not UsageLimitPlugin.ceiling or limit.arrived is not UsageLimitPlugin.arrived
        )
        """Whether the usage limit looks at single requests."""
        self.ceiling = 1.0
        """Up to which saturation the last request that `admits` was asked about may go."""
        self._empty_pool = False
        self._since = -math.inf
        """When the pool was last found to have become empty, or not empty any more."""
        for priority in {*settings.bands, 0}:
            self._band(priority, 0.0)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        """Bytes of all bodies that wait."""
        return self._bytes

    def bands(self) -> tuple[BandFigures, ...]:
        """Return how much waits in each band, the highest priority first."""
        return tuple(band.figures() for band in self._order)

    def foremost(self) -> tuple[int, int] | None:
        """Return the highest priority of those who wait, and how many wait at it; ``None`` where nobody waits."""
        for band in self._order:
            if band.requests:
                return band.priority, band.requests
        return None

    def admits(self, turn: Turn, now: float, saturation: float) -> bool:
        """Return whether a request that arrives now need not wait: the pool is not too full for it or for those who
        matter more, and nobody waits who matters as much or more, but for bands whose next one is held back for itself
        though the band might go."""
        priority = turn.flow.priority
        self._band(priority, now)
        if self._singles_out:
            self._told_of(turn)
        ceilings = self._ceilings(saturation)
        usual = ceilings[self._priorities.index(priority)]
        self.ceiling = self._ceiling(turn, usual, now)
        for band, ceiling in zip(self._order, ceilings, strict=True):
            if band.priority == priority:
                break
            if saturation >= ceiling or self._next_may_go(band, ceiling, now, saturation):
                return False
        # Whoever waits and may go does so first, and is about to.
        return saturation < self.ceiling and not self._next_may_go(band, usual, now, saturation)

    def offer(self, turn: Turn, now: float) -> str | None:
        """Queue a request, or return what is too full for it, in words."""
        full = self._full(turn, self._band(turn.flow.priority, now))
        if full is None:
            self._put(turn, now)
        return full

    def next(self, now: float, saturation: float) -> Turn | None:
        """Take out whose turn it is; ``None`` where nobody may go at this saturation.

        Bands are walked from high to low. The first one whose ceiling is reached ends the walk, whether anybody waits
        in it or not: who matters less does not pass by who matters more. It does pass by one that is held back for
        itself, and not for want of room for its band.
        """
        self.held_up = False
        if not len(self._waiting):
            return None
        for band, ceiling in zip(self._order, self._ceilings(saturation), strict=True):
            if self._next_may_go(band, ceiling, now, saturation):
                self.held_up = False
                turn = band.take(now)
                self._forget(turn)
                return turn
            if saturation >= ceiling:
                self.held_up = self.held_up or saturation >= 1 or ceiling > 0
                return None
            self.held_up = self.held_up or bool(band.requests)
        return None

    def withdraw(self, turn: Turn, now: float) -> bool:
        """Take out a request whose client is gone; return whether it waited."""
        if turn not in self._waiting:
            return False
        self._bands[turn.flow.priority].remove(turn, now)
        self._forget(turn)
        return True

    def expired(self, now: float, *, empty_pool: bool) -> list[Turn]:
        """Take out those whose time has run out, in the order of their arrival.

        While the pool is empty another time holds, and when that changes everybody's starts anew: a request that waited
        minutes for a first server is not given up at the moment there is one.
        """
        if empty_pool is not self._empty_pool:
            self._empty_pool, self._since = empty_pool, now
        self._drop_idle(now)
        gone: list[Turn] = []
        while (end := self.deadline()) is not None and end <= now:
            turn = self._waiting.first()
            assert turn is not None
            self.withdraw(turn, now)
            gone.append(turn)
        return gone

    def deadline(self) -> float | None:
        """Return when the next one's time runs out, in seconds; ``None`` where nobody's does. It is as of the last
        `expired`, which says whether the pool is empty."""
        first = self._waiting.first()
        ttl = self.settings.no_endpoint_ttl if self._empty_pool else self.settings.ttl
        return None if first is None or ttl is None else max(first.arrived, self._since) + ttl

    def drain(self) -> list[Turn]:
        """Take everybody out, in the order of arrival."""
        everybody = sorted(self._waiting, key=self._waiting.rank)
        for turn in everybody:
            self.withdraw(turn, turn.arrived)
        return everybody

    def finished(self, flow: Flow, prompt_tokens: int, answer_tokens: int, now: float) -> None:
        """A request has ended, whether it had waited or not; tokens are 0 where nobody counted them."""
        plugin = self.settings.band(flow.priority).fairness
        if type(plugin).charge is FairnessPlugin.charge:
            return
        try:
            plugin.charge(flow, prompt_tokens, answer_tokens, now)
        except Exception as error:
            self.settings.faults.note(plugin.name, error)
        for band in self._order:
            if band.settings.fairness is plugin:
                band.charged(flow.fairness_id, now)

    def adopt(self, previous: FlowQueues, now: float) -> None:
        """Let everybody who waits in ``previous`` wait here instead, under these settings. Nobody is refused: where
        they are more than these settings allow, newcomers are until they are fewer."""
        self._empty_pool, self._since = previous._empty_pool, previous._since
        for turn in previous.drain():
            self._put(turn, now)

    def _put(self, turn: Turn, now: float) -> None:
        self._number += 1
        msgspec.structs.force_setattr(turn, "ttl", self.settings.ttl)
        self._waiting.put(turn, (turn.arrived, self._number))
        self._band(turn.flow.priority, now).put(turn, self._number)
        self._bytes += turn.size

    def _forget(self, turn: Turn) -> None:
        self._waiting.discard(turn)
        self._bytes -= turn.size

    def _full(self, turn: Turn, band: Band) -> str | None:
        own, whole = band.settings, self.settings
        place = f"the band of priority {band.priority}"
        for name, there, limit in (
            (place, band.requests, own.max_requests),
            ("all bands together", len(self._waiting), whole.max_requests),
        ):
            if limit is not None and there + 1 > limit:
                return f"{name}: {there} requests wait, of {limit}"
        for name, there, limit in (
            (place, band.bytes, own.max_bytes),
            ("all bands together", self._bytes, whole.max_bytes),
        ):
            if limit is not None and there + turn.size > limit:
                return f"{name}: {there} bytes wait, of {limit}, and this request has {turn.size}"
        return None

    def _ceilings(self, saturation: float) -> Sequence[float]:
        plugin = self.settings.usage_limit
        try:
            return check_ceilings(plugin.name, plugin.ceilings(saturation, self._priorities), len(self._priorities))
        except Exception as error:
            self.settings.faults.note(plugin.name, error)
            return [1.0] * len(self._priorities)

    def _next_may_go(self, band: Band, ceiling: float, now: float, saturation: float) -> bool:
        """Whether somebody waits in a band, and the next one may go at this saturation."""
        if not band.requests:
            return False
        return saturation < (self._ceiling(band.peek(now), ceiling, now) if self._singles_out else ceiling)

    def _ceiling(self, turn: Turn, ceiling: float, now: float) -> float:
        if not self._singles_out:
            return ceiling
        plugin = self.settings.usage_limit
        try:
            return check_ceilings(plugin.name, [plugin.ceiling(turn, ceiling, now)], 1)[0]
        except Exception as error:
            self.settings.faults.note(plugin.name, error)
            return ceiling

    def _told_of(self, turn: Turn) -> None:
        plugin = self.settings.usage_limit
        try:
            plugin.arrived(turn)
        except Exception as error:
            self.settings.faults.note(plugin.name, error)

    def _band(self, priority: int, now: float) -> Band:
        band = self._bands.get(priority)
        if band is None:
            band = self._bands[priority] = Band(priority, self.settings.band(priority), self.settings.faults, now)
            self._reorder()
        return band

    def _drop_idle(self, now: float) -> None:
        idle = [
            priority
            for priority, band in self._bands.items()
            if not band.requests and now - band.idle_since > IDLE and priority and priority not in self.settings.bands
        ]
        for priority in idle:
            del self._bands[priority]
        if idle:
            self._reorder()

    def _reorder(self) -> None:
        self._order = tuple(sorted(self._bands.values(), key=lambda band: -band.priority))
        self._priorities = tuple(band.priority for band in self._order)
