"""The pickers of this machine: one for each pool, told what it must know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from signalbox.gateway.addresses import PICKER_NETWORK, NoAddress, claim
from signalbox.gateway.desired import Desired
from signalbox.gateway.local_picker import GRPC_PORT, HEALTH_PORT, METRICS_PORT, LocalPicker
from signalbox.gateway.local_pod import Surroundings
from signalbox.gateway.members import Member
from signalbox.gateway.picker_deployment import PickerSettings
from signalbox.resources import InferencePool, Key

_GUIDE = PickerSettings()


class Pickers:
    """Starts and ends pickers as pools come and go. ``say_once`` takes a subject and a line."""

    def __init__(self, around: Surroundings, say_once: Callable[[str, str], None]) -> None:
        self._around = around
        self._say_once = say_once
        self._pickers: dict[Key, LocalPicker] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def all(self) -> tuple[LocalPicker, ...]:
        """The pickers that run, one for each pool."""
        return tuple(self._pickers.values())

    def match(self, desired: Desired) -> None:
        """Start and end pickers so that each pool has one with its settings."""
        wanted = {pool.key: pool for pool in desired.pools}
        for key, picker in list(self._pickers.items()):
            settings = desired.workloads.pickers.get(key, _GUIDE)
            configured = key in desired.configurations
            if key not in wanted or (picker.environment, picker.configured) != (dict(settings.environment), configured):
                del self._pickers[key]
                self._end(picker)
                reason = "its settings changed" if key in wanted else "its pool is gone"
                self._around.say("picker", f"{key.name} {picker.address} stopping: {reason}")
        for key, pool in wanted.items():
            if key not in self._pickers:
                self._start(pool, desired)

    def tell_policies(self, desired: Desired) -> bool:
        """Tell pools, models, objectives, rewrites and configurations, and what was refused of them.

        Returns whether some objects are news.
        """
        news = False
        for pool in desired.pools:
            picker = self._pickers.get(pool.key)
            if picker is None:
                continue
            news |= picker.tell_objects(pool, desired.policies_of(pool))
            picker.tell_refusals(desired.refusals_of(pool))
            text = desired.configurations.get(pool.key)
            if text is not None and picker.tell_configuration(text):
                self._around.say("picker", f"{pool.metadata.name} {picker.address} takes up its changed configuration")
        return news

    def tell_pods(
        self,
        desired: Desired,
        members_of: Callable[[InferencePool], Iterable[Member]],
        known: frozenset[tuple[str, str, str, int]],
    ) -> None:
        """Tell the pods of each pool; ``known`` are the endpoints that the proxy has been told."""
        for pool in desired.pools:
            picker = self._pickers.get(pool.key)
            if picker is not None:
                picker.tell_pods(members_of(pool), known)

    async def stop(self) -> None:
        """End all of them."""
        await asyncio.gather(*self._ending, return_exceptions=True)
        await asyncio.gather(*(picker.stop() for picker in self._pickers.values()))
        self._pickers.clear()

    def _start(self, pool: InferencePool, desired: Desired) -> None:
        name = pool.metadata.name
        try:
            lease = claim(PICKER_NETWORK, (GRPC_PORT, HEALTH_PORT, METRICS_PORT), avoid=self._around.taken_ports)
        except NoAddress as error:
            self._say_once("picker", f"{name}: {error}")
            return
        environment = desired.workloads.pickers.get(pool.key, _GUIDE).environment
        text = desired.configurations.get(pool.key)
        picker = LocalPicker(pool, lease, environment, self._around, text is not None)
        self._pickers[pool.key] = picker
        picker.tell_objects(pool, desired.policies_of(pool))
        picker.tell_pods((), ())
        picker.tell_refusals(desired.refusals_of(pool))
        if text is not None:
            picker.tell_configuration(text)
        picker.start()
        given = "".join(f" {name}={value}" for name, value in sorted(environment.items()))
        given += "" if text is None else " with an EndpointPickerConfig"
        self._around.say("picker", f"{name} {picker.address} starting{given}")

    def _end(self, picker: LocalPicker) -> None:
        task = asyncio.create_task(picker.stop())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
