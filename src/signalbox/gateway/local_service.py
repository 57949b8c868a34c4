"""A gRPC service of ours on this machine: a supervised process with an ext_proc, a health and a metrics port."""

from __future__ import annotations

import asyncio

from signalbox.gateway.addresses import Lease
from signalbox.gateway.health import HealthWatch, asking
from signalbox.gateway.local_pod import Surroundings, announce_exit
from signalbox.gateway.probes import Method, Probe, Probes, Role, Timing
from signalbox.gateway.supervisor import Command, Exited, Supervised

STOP_GRACE = 2.0
"""Seconds a service gets to finish the exchanges it has begun; each takes milliseconds."""


class LocalService:
    """A process that is probed at ``port``, restarted when it ends, and spoken of as ``SUBJECT NAME``."""

    def __init__(
        self,
        subject: str,
        name: str,
        command: Command,
        lease: Lease,
        port: int,
        metrics_port: int,
        around: Surroundings,
    ) -> None:
        """``port`` and ``metrics_port`` are those of the lease's wishes; what it got may differ."""
        self.host = lease.host
        self.port = lease.ports[port]
        self.metrics_port = lease.ports[metrics_port]
        self._subject = subject
        self._name = name
        self._lease = lease
        self._around = around
        startup = Probe(Method.TCP, port, Timing(period=1.0, failure_threshold=120))
        self._health = HealthWatch(
            Probes(startup=startup), asking(around.session, lease.host, lease.ports), self._changed, self._stuck
        )
        self._process = Supervised(command, around.log(command.name), self._health.process_started, self._ended)
        self._watch: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether it accepts connections."""
        return self._health.ready

    @property
    def address(self) -> str:
        """``host:port`` of its ext_proc service."""
        return f"{self.host}:{self.port}"

    @property
    def restarts(self) -> int:
        """How often it had to be started again."""
        return self._process.restarts

    def start(self) -> None:
        """Start the process. What it reads must have been written."""
        self._watch = asyncio.create_task(self._health.run(), name=f"probe {self._process.command.name}")
        self._process.start()

    async def stop(self, grace: float = STOP_GRACE) -> None:
        """End the process."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await self._process.stop(grace)
        self._lease.release()

    def _changed(self) -> None:
        if self._health.ready:
            self._around.say(self._subject, f"{self._name} {self.address} ready")
        self._around.changed()

    def _ended(self, exited: Exited) -> None:
        self._health.process_ended()
        announce_exit(self._around, self._subject, exited)
        self._around.changed()

    def _stuck(self, role: Role) -> None:
        self._around.say(self._subject, f"{self._name} does not come up: restarting it")
        self._process.restart()
