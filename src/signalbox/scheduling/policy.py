"""A policy: everything an EndpointPickerConfig says about choosing endpoints, ready to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from signalbox.pool import Endpoint, Rows
from signalbox.scheduling.beforehand import Beforehand
from signalbox.scheduling.checked import check_fairness_id
from signalbox.scheduling.configuration.accepted import PrefixIndexParameters
from signalbox.scheduling.faults import Faults
from signalbox.scheduling.flow_settings import FlowSettings
from signalbox.scheduling.framework import Cycle, Decision, Step
from signalbox.scheduling.guard import Guard
from signalbox.scheduling.headers import check_headers
from signalbox.scheduling.observation import Finished, FirstToken
from signalbox.scheduling.plugin import DetectorPlugin, HandlerPlugin, Plugin
from signalbox.scheduling.prefix.token_source import TokenSource
from signalbox.scheduling.producers.precise_prefix_cache import PrecisePrefixParameters
from signalbox.scheduling.profile import Profile
from signalbox.scheduling.queueing import IdentityPlugin


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a configuration says to rooms outside of scheduling."""

    notes: tuple[str, ...] = ()
    """What is accepted and has no effect, or another one than a reader of the reference would expect."""
    prefix: PrefixIndexParameters | None = None
    """How prompts are to be looked up; ``None`` where no plugin reads ``cycle.prefix``."""
    parsers: tuple[str, ...] = ()
    """Types of the parsers in order; empty for the default ones."""
    guarded: bool = False
    """Whether a plugin of another package takes part."""
    flow: FlowSettings | None = None
    """How requests wait; ``None`` where they do not."""
    precise: tuple[PrecisePrefixParameters, TokenSource] | None = None
    """The precise index and who tells token ids; ``None`` where prefixes are approximate."""


class Policy:
    """Handler, profiles, saturation detector and plugins. To reload a configuration, replace the policy by a new one
    and let that :meth:`adopt` the old."""

    def __init__(
        self,
        handler: HandlerPlugin[Any],
        profiles: Mapping[str, Profile],
        detector: DetectorPlugin[Any],
        plugins: tuple[Plugin[Any], ...],
        surroundings: Surroundings,
        faults: Faults,
    ) -> None:
        self.handler = handler
        self.profiles = profiles
        self.detector = detector
        self.plugins = plugins
        """Every plugin, those that were added included, in the order of the file."""
        self.notes = surroundings.notes
        self.prefix = surroundings.prefix
        self.precise = surroundings.precise
        """The precise prefix index and who tells token ids; ``None`` where prefixes are approximate or nobody reads
        them."""
        self.parsers = surroundings.parsers
        self.flow = surroundings.flow
        """How requests wait in queues; ``None`` where the gate ``flowControl`` is off."""
        self._identifying = tuple(plugin for plugin in plugins if isinstance(plugin, IdentityPlugin))
        self.reads_media = any(plugin.reads_media for plugin in plugins)
        """Whether any plugin reads ``cycle.multimodal``."""
        self.reads_media_items = any(plugin.reads_media_items for plugin in plugins)
        """Whether any plugin reads ``cycle.media``."""
        self._before = Beforehand(plugins, faults)
        self.admitters = self._before.admitters
        """Whoever is asked about sheddable requests, in the order of the file."""
        self._guard = Guard() if surroundings.guarded else None
        self._requesting = tuple(plugin for plugin in plugins if _overrides(plugin, "request_headers"))
        self._faults = faults
        self._routed = tuple(plugin for plugin in plugins if _overrides(plugin, "routed"))
        self._answering = tuple(plugin for plugin in plugins if _overrides(plugin, "answer_headers"))
        self._moving = tuple(plugin for plugin in plugins if _overrides(plugin, "moved"))
        self._timing = tuple(plugin for plugin in plugins if _overrides(plugin, "first_token"))
        self._settling = tuple(plugin for plugin in plugins if _overrides(plugin, "finished"))
        self._leaving = tuple(plugin for plugin in plugins if _overrides(plugin, "left"))

    @property
    def faults(self) -> Counter[str]:
        """How often each plugin raised, by its name."""
        return self._faults.counts

    @property
    def passthrough(self) -> bool:
        """Whether bodies that cannot be understood are to be routed all the same."""
        return "passthrough-parser" in self.parsers

    @property
    def identifies(self) -> bool:
        """Whether any plugin finds fairness ids in headers."""
        return bool(self._identifying)

    def fairness_id(self, headers: Mapping[str, str]) -> str:
        """Return who sends a request whose headers, names in lower case, name no fairness id: what the first plugin
        that knows says; empty where none does."""
        if self._guard is not None:
            headers = MappingProxyType(headers)
        for plugin in self._identifying:
            try:
                found = check_fairness_id(plugin.name, plugin.fairness_id(headers))
            except Exception as error:
                self._faults.note(plugin.name, error)
                continue
            if found:
                return found
        return ""

    def prepare(self, cycle: Cycle) -> None:
        """Let producers note what they find in a request. Call it once, before anything is asked about the request."""
        if not self._before.producers:
            return
        if self._guard is None:
            self._before.produce(cycle)
            return
        with self._guard.over(cycle):
            self._before.produce(cycle)

    def admit(self, cycle: Cycle, rows: Rows) -> tuple[str, str] | None:
        """Return the name of the first admitter that refuses a sheddable request, and why; ``None`` where all let it
        in."""
        if self._guard is None:
            return self._before.admit(cycle, rows)
        with self._guard.over(cycle):
            return self._before.admit(cycle, rows)

    def schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        """Choose among ``rows``; ``None`` where nobody is left. Never raises for what a plugin does.

        Plugins take a decision as made: call it once for each request that will be sent.
        """
        if self._guard is None:
            return self._schedule(cycle, rows)
        with self._guard.over(cycle):
            return self._schedule(cycle, rows)

    def _schedule(self, cycle: Cycle, rows: Rows) -> Decision | None:
        if self._before.screeners:
            rows = self._before.screen(cycle, rows)
            if not len(rows):
                return None
        try:
            decision = self.handler.schedule(cycle, rows, self.profiles)
        except Exception as error:
            fault = self._faults.note(self.handler.name, error)
            cycle.steps.append(Step(self.handler.name, len(rows), len(rows), None, fault))
            decision = self._without_handler(cycle, rows)
        if decision is None:
            return None
        for plugin in self._routed:
            try:
                plugin.routed(cycle, decision)
            except Exception as error:
                self._faults.note(plugin.name, error)
        if self._requesting:
            decision = msgspec.structs.replace(decision, headers=self._request_headers(cycle, decision))
        if not self._answering:
            return decision
        return msgspec.structs.replace(decision, response_headers=self._answer_headers(cycle, decision))

    def _request_headers(self, cycle: Cycle, decision: Decision) -> dict[str, str]:
        headers: dict[str, str] = dict(decision.headers)
        for plugin in self._requesting:
            try:
                headers.update(check_headers(plugin.name, plugin.request_headers(cycle, decision)))
            except Exception as error:
                self._faults.note(plugin.name, error)
        return headers

    def _answer_headers(self, cycle: Cycle, decision: Decision) -> dict[str, str]:
        headers: dict[str, str] = dict(decision.response_headers)
        for plugin in self._answering:
            try:
                headers.update(check_headers(plugin.name, plugin.answer_headers(cycle, decision)))
            except Exception as error:
                self._faults.note(plugin.name, error)
        return headers

    @property
    def follows(self) -> bool:
        """Whether any plugin minds which endpoint of a decision served the request."""
        return bool(self._moving or self._answering)

    def moved(self, cycle: Cycle, decision: Decision, row: int) -> Mapping[str, str]:
        """The fallback ``row`` of a decision served the request; return the headers to set on the answer now."""
        if self._guard is None:
            return self._moved(cycle, decision, row)
        with self._guard.over(cycle):
            return self._moved(cycle, decision, row)

    def _moved(self, cycle: Cycle, decision: Decision, row: int) -> Mapping[str, str]:
        for plugin in self._moving:
            try:
                plugin.moved(cycle, decision, row)
            except Exception as error:
                self._faults.note(plugin.name, error)
        rows = (row, *(other for other in decision.rows if other != row))
        return self._answer_headers(cycle, msgspec.structs.replace(decision, rows=rows))

    def _without_handler(self, cycle: Cycle, rows: Rows) -> Decision | None:
        try:
            name = self.handler.primary(self.profiles)
            profile = self.profiles[name]
        except Exception as error:
            self._faults.note(self.handler.name, error)
            profile = next(iter(self.profiles.values()))
        return profile.schedule(cycle, rows)

    def saturation(self, cycle: Cycle, rows: Rows) -> float:
        """Return how full ``rows`` are: 0 idle, 1 at the limit, more beyond it; 1 for no rows. A detector that fails
        reads 0, since refusing everything is worse than refusing nothing."""
        if self._guard is None:
            return self._saturation(cycle, rows)
        with self._guard.over(cycle):
            return self._saturation(cycle, rows)

    def _saturation(self, cycle: Cycle, rows: Rows) -> float:
        try:
            return self.detector.saturation(cycle, rows)
        except Exception as error:
            fault = self._faults.note(self.detector.name, error)
            cycle.steps.append(Step(self.detector.name, len(rows), len(rows), None, fault))
            return 0.0

    @property
    def observes(self) -> bool:
        """Whether any plugin wants to hear of first tokens or ends."""
        return bool(self._timing or self._settling)

    def first_token(self, observation: FirstToken) -> None:
        """A streamed answer has begun."""
        for plugin in self._timing:
            try:
                plugin.first_token(observation)
            except Exception as error:
                self._faults.note(plugin.name, error)

    def finished(self, observation: Finished) -> None:
        """A request has ended."""
        for plugin in self._settling:
            try:
                plugin.finished(observation)
            except Exception as error:
                self._faults.note(plugin.name, error)

    def left(self, endpoint: Endpoint) -> None:
        """An endpoint has left the pool for good."""
        for plugin in self._leaving:
            try:
                plugin.left(endpoint)
            except Exception as error:
                self._faults.note(plugin.name, error)

    def adopt(self, previous: Policy) -> None:
        """Take over what the plugins of ``previous`` have learned, where name, type and parameters are the same, and
        the faults of those that are still there."""
        before = {plugin.name: plugin for plugin in previous.plugins}
        self._faults.adopt(previous._faults, before.keys() - {plugin.name for plugin in self.plugins})
        for plugin in self.plugins:
            old = before.get(plugin.name)
            if old is None or type(old) is not type(plugin) or old.parameters != plugin.parameters:
                continue
            try:
                plugin.adopt(old)
            except Exception as error:
                self._faults.note(plugin.name, error)


def _overrides(plugin: Plugin[Any], hook: str) -> bool:
    return getattr(type(plugin), hook) is not getattr(Plugin, hook)
