"""One endpoint picker on this machine: the process that serves one InferencePool."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from signalbox.gateway.addresses import Lease
from signalbox.gateway.health import HealthWatch, asking
from signalbox.gateway.local_pod import Surroundings, announce_exit
from signalbox.gateway.members import Member
from signalbox.gateway.probes import Method, Probe, Probes, Role, Timing
from signalbox.gateway.source_files import write_objects, write_pods
from signalbox.gateway.supervisor import Command, Exited, Supervised
from signalbox.resources import InferencePool, Key, Resource

GRPC_PORT = 9002
HEALTH_PORT = 9003
METRICS_PORT = 9090
PICKER_GRACE = 2.0
"""Seconds a picker gets to finish the exchanges it has begun; each takes milliseconds."""

_MIB = 1024 * 1024


class LocalPicker:
    """A picker process and the directory it reads."""

    def __init__(self, pool: InferencePool, lease: Lease, environment: Mapping[str, str], around: Surroundings) -> None:
        self.pool = pool.key
        self.environment = dict(environment)
        self.host = lease.host
        self.port = lease.ports[GRPC_PORT]
        self.metrics_port = lease.ports[METRICS_PORT]
        self.source = around.directory / "pickers" / f"{pool.metadata.namespace}.{pool.metadata.name}"
        self._lease = lease
        self._around = around
        startup = Probe(Method.TCP, GRPC_PORT, Timing(period=1.0, failure_threshold=120))
        self._health = HealthWatch(
            Probes(startup=startup), asking(around.session, lease.host, lease.ports), self._changed, self._stuck
        )
        command = picker_command(pool.key, self.source, lease, environment, around.body_limit)
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

    def tell_objects(self, pool: InferencePool, policies: Iterable[Resource]) -> bool:
        """Let the picker know its pool and policies; return whether they are news."""
        return write_objects(self.source, pool, policies)

    def tell_pods(self, members: Iterable[Member], known: Iterable[tuple[str, str, str, int]]) -> bool:
        """Let the picker know the pods; return whether they are news."""
        return write_pods(self.source, members, known)

    def start(self) -> None:
        """Start the process. Its directory must have been written."""
        self._watch = asyncio.create_task(self._health.run(), name=f"probe {self._process.command.name}")
        self._process.start()

    async def stop(self, grace: float = PICKER_GRACE) -> None:
        """End the process."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await self._process.stop(grace)
        self._lease.release()

    def _changed(self) -> None:
        if self._health.ready:
            self._around.say("picker", f"{self.pool.name} {self.address} ready")
        self._around.changed()

    def _ended(self, exited: Exited) -> None:
        self._health.process_ended()
        announce_exit(self._around, "picker", exited)
        self._around.changed()

    def _stuck(self, role: Role) -> None:
        self._around.say("picker", f"{self.pool.name} does not come up: restarting it")
        self._process.restart()


def picker_command(pool: Key, source: Path, lease: Lease, environment: Mapping[str, str], body_limit: int) -> Command:
    """The command that runs the picker of a pool; ``body_limit`` in bytes."""
    longest = -(-body_limit // _MIB)
    argv = (
        *(sys.executable, "-m", "signalbox", "epp"),
        *("--source", str(source)),
        *("--pool-name", pool.name, "--pool-namespace", pool.namespace),
        *("--grpc-host", lease.host),
        *("--grpc-port", str(lease.ports[GRPC_PORT])),
        *("--grpc-health-port", str(lease.ports[HEALTH_PORT])),
        *("--metrics-port", str(lease.ports[METRICS_PORT])),
        *("--body-limit", str(longest)),
        # Room for the longest body and its like beside it; the picker refuses limits that contradict each other.
        *("--max-buffered-mib", str(max(256, 2 * longest)), "--max-total-buffered-mib", str(max(1024, 4 * longest))),
        "--secure-serving=false",  # the two ends of a loopback connection
    )
    return Command(f"epp-{pool.namespace}-{pool.name}", argv, environment)
