"""One pod on this machine: a simulated server, its syncers, its volumes and its probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from signalbox.gateway.addresses import Lease
from signalbox.gateway.health import HealthWatch, asking
from signalbox.gateway.members import Member, Phase
from signalbox.gateway.pod_commands import config_names, metrics_port, server_command, syncer_command
from signalbox.gateway.pods import PodTemplate
from signalbox.gateway.podspec import ConfigMapVolume
from signalbox.gateway.probes import Role
from signalbox.gateway.supervisor import Command, Exited, Supervised, last_lines, run_to_end
from signalbox.gateway.syncer_log import SyncerLog, message_of
from signalbox.gateway.volumes import write_volume
from signalbox.resources import ConfigMap, Key

SYNCER_GRACE = 2.0
"""Seconds a syncer gets to stop: it holds nothing that would be lost."""
SYNC_PATIENCE = 10.0
"""Seconds that the first pass of a syncer may take before that needs an explanation."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What pods and pickers share: where they write, whom they tell."""

    directory: Path
    session: aiohttp.ClientSession
    changed: Callable[[], None]
    """Called when something changed that the cluster should act on."""
    say: Callable[[str, str], None]
    """Called with a subject and one line of text for the person at the terminal."""
    speed: float = 1.0
    """How much faster than real hardware the simulated servers run."""
    body_limit: int = 32 * 1024 * 1024
    """The longest request body in bytes."""
    taken_ports: frozenset[int] = frozenset()
    """Ports that the gateway takes on every address of this machine, so that no pod can have them."""

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.directory / "logs" / f"{name}.log"


class LocalPod:
    """A pod of a Deployment. It waits for its ConfigMaps, then runs until ``stop``.

    A pod with a syncer is ready when its probes say so and the syncer has been through its configuration once since
    the server began. In a cluster the probe of the guide passes earlier, and requests for an adapter find a server
    that has not got it.
    """

    def __init__(self, name: str, template: PodTemplate, lease: Lease, around: Surroundings) -> None:
        self.name = name
        self.template = template
        self._lease = lease
        self._around = around
        self._volumes = around.directory / "pods" / template.namespace / name
        self._health = HealthWatch(
            template.probes,
            asking(around.session, lease.host, lease.ports),
            self._readiness_changed,
            self._unhealthy,
            on_trouble=around.changed,
        )
        self._server = Supervised(
            server_command(name, template, lease, around.speed), around.log(name), self._started, self._ended
        )
        self._syncers = [
            Supervised(command, around.log(command.name), on_exit=self._syncer_ended)
            for command in (syncer_command(name, syncer, template, lease, self._volumes) for syncer in template.syncers)
        ]
        self._syncer_logs = [
            SyncerLog(process.log, partial(self._say_syncer, process), config_names(syncer, template, self._volumes))
            for syncer, process in zip(template.syncers, self._syncers, strict=True)
        ]
        self._following: list[asyncio.Task[None]] = []
        self._watch: asyncio.Task[None] | None = None
        self._first_sync: asyncio.Task[None] | None = None
        self._synced = False
        self._running = False
        self._was_ready = False
        self._draining = False
        self._missing = ""
        self._slow_sync = ""
        self._told = Phase.STARTING
        self._told_troubles: set[str] = set()

    @property
    def member(self) -> Member:
        """The pod as the cluster sees it now."""
        return Member(
            self.template.namespace,
            self.name,
            self.template.labels,
            self._lease.host,
            self._lease.ports[self.template.port],
            self._phase,
            self._server.restarts,
            self._missing or self._trouble,
            (self.template.model,) if self.template.model else (),
        )

    @property
    def owner(self) -> Key:
        """The Deployment it belongs to."""
        return Key("Deployment", self.template.namespace, self.template.deployment)

    def untold_trouble(self) -> str:
        """Why the pod is not ready, once for each reason; empty when that has been told or need not be yet."""
        trouble = self._trouble
        if not trouble or trouble in self._told_troubles or self._draining:
            return ""
        self._told_troubles.add(trouble)
        return trouble

    @property
    def _trouble(self) -> str:
        return self._slow_sync if self._health.ready else self._health.trouble

    @property
    def _phase(self) -> Phase:
        if self._draining:
            return Phase.DRAINING
        if self._watch is None:
            return Phase.WAITING
        if self._health.ready and self._synced:
            return Phase.READY
        if not self._running:
            return Phase.RESTARTING if self._server.restarts else Phase.STARTING
        return Phase.NOT_READY if self._was_ready else Phase.STARTING

    def provide(self, config_maps: Mapping[str, ConfigMap]) -> None:
        """Bring the volumes up to date from the namespace's ConfigMaps; start the processes once all are there."""
        for volume in self.template.volumes:
            self._provide(volume, config_maps.get(volume.config_map))
        waiting = [v for v in self.template.volumes if not (self._volumes / v.name).is_dir()]
        missing = ", ".join(f"ConfigMap {v.config_map}" for v in waiting)
        if self._watch is not None:
            return
        if missing:
            if missing != self._missing:
                self._around.say("pod", f"{self.name} waits for {missing} (volume {waiting[0].name})")
            self._missing = missing
            return
        self._missing = ""
        self._watch = asyncio.create_task(self._health.run(), name=f"probe {self.name}")
        self._following = [asyncio.create_task(log.follow()) for log in self._syncer_logs]
        self._server.start()

    def drain(self) -> None:
        """Take no new requests from now on."""
        self._draining = True

    async def stop(self, grace: float | None = None, *, hurried: bool = False) -> None:
        """End the processes: the server may take ``grace`` seconds (default: the pod's own) to finish its requests.

        ``hurried``: nobody can send it any, so that it need not wait for those already on their way.
        """
        self._draining = True
        tasks = [task for task in (self._watch, self._first_sync, *self._following) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(
            self._server.stop(self.template.grace if grace is None else grace, hurried=hurried),
            *(syncer.stop(SYNCER_GRACE) for syncer in self._syncers),
        )
        self._lease.release()

    def _provide(self, volume: ConfigMapVolume, config_map: ConfigMap | None) -> None:
        files = volume.files(config_map)
        if files is None:
            return  # not there (yet), or deleted: a running pod keeps the files it has, as in a cluster
        try:
            if write_volume(self._volumes / volume.name, files):
                keys = ", ".join(sorted(files)) or "no keys"
                self._around.say("volume", f"{self.name} {volume.name}: ConfigMap {volume.config_map} ({keys})")
                for log in self._syncer_logs:
                    log.forget()
        except ValueError as error:
            self._around.say("volume", f"{self.name} {volume.name}: ConfigMap {volume.config_map}: {error}")

    def _started(self) -> None:
        self._running = True
        self._synced = not self._syncers
        self._health.process_started()
        if self._syncers:
            self._first_sync = asyncio.create_task(self._sync_once(), name=f"first sync {self.name}")

    async def _sync_once(self) -> None:
        """Bring the adapters of a server that has just begun up to date, then leave them to the syncers."""
        for syncer, process, log in zip(self.template.syncers, self._syncers, self._syncer_logs, strict=True):
            command = process.command
            once = Command(
                command.name, (*command.argv, "--once", "--health-check-interval", "0.1"), command.environment
            )
            late = asyncio.get_running_loop().call_later(SYNC_PATIENCE, self._sync_is_late, process)
            try:
                done = await run_to_end(once, process.log) == 0
            finally:
                late.cancel()
            log.look()
            if not done:
                log.tell(f"has not loaded all its adapters; its log is {process.log}")
            if not syncer.once:
                process.start()
                port = metrics_port(syncer, self.template, self._lease)
                if port:
                    log.tell(f"metrics at http://{self._lease.host}:{port}/metrics")
        self._slow_sync = ""
        self._synced = True
        self._readiness_changed()

    def _sync_is_late(self, process: Supervised) -> None:
        last = "".join(map(message_of, last_lines(process.log, 1)))
        self._slow_sync = f"its syncer {process.command.name} is not through its configuration: {last or 'no word yet'}"
        self._around.changed()

    def _say_syncer(self, process: Supervised, message: str) -> None:
        self._around.say("syncer", f"{process.command.name} {message}")

    def _ended(self, exited: Exited) -> None:
        self._running = False
        if self._first_sync is not None:
            self._first_sync.cancel()
        self._health.process_ended()
        announce_exit(self._around, "pod", exited)
        self._around.changed()

    def _syncer_ended(self, exited: Exited) -> None:
        announce_exit(self._around, "syncer", exited)

    def _readiness_changed(self) -> None:
        phase = self._phase
        self._was_ready = self._was_ready or phase is Phase.READY
        if phase is Phase.READY:
            self._told_troubles.clear()
        if phase not in (self._told, Phase.DRAINING):
            self._told = phase
            self._around.say("pod", f"{self.name} {self.member.address} {phase}")
        self._around.changed()

    def _unhealthy(self, role: Role) -> None:
        self._around.say("pod", f"{self.name} restarting: {self._health.failure(role)}")
        self._server.restart()


def announce_exit(around: Surroundings, subject: str, exited: Exited) -> None:
    """Say that a process ended, with the end of what it wrote, unless those were its words the last time too."""
    if exited.hopeless and exited.repeated:
        return
    why = ", wrong arguments" if exited.hopeless else ""
    around.say(
        subject, f"{exited.name} ended with {exited.reason}{why}; starting it again in {exited.restart_in:.2g} s"
    )
    for line in () if exited.repeated else exited.tail:
        around.say("", f"  {line}")
