"""One endpoint picker on this machine: the process that serves one InferencePool."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from signalbox.gateway.addresses import Lease
from signalbox.gateway.local_pod import Surroundings
from signalbox.gateway.local_service import LocalService
from signalbox.gateway.members import Member
from signalbox.gateway.source_files import write_if_changed, write_objects, write_pods
from signalbox.gateway.supervisor import Command
from signalbox.observability.refusals import Refusals
from signalbox.resources import InferencePool, Key, Resource

GRPC_PORT = 9002
HEALTH_PORT = 9003
METRICS_PORT = 9090
CONFIGURATION_FILE = "configuration.yaml"
REFUSALS_FILE = "refused.json"

_MIB = 1024 * 1024


class LocalPicker(LocalService):
    """A picker process and the directory it reads."""

    def __init__(
        self,
        pool: InferencePool,
        lease: Lease,
        environment: Mapping[str, str],
        around: Surroundings,
        configured: bool = False,
    ) -> None:
        """With ``configured`` it reads what ``tell_configuration`` writes, which must be before ``start``.

        So must ``tell_refusals``.
        """
        self.pool = pool.key
        self.environment = dict(environment)
        self.configured = configured
        self.source = around.directory / "pickers" / f"{pool.metadata.namespace}.{pool.metadata.name}"
        self.configuration = self.source.with_name(f"{self.source.name}.configuration") / CONFIGURATION_FILE
        self.refusals = self.source.with_name(f"{self.source.name}.refused") / REFUSALS_FILE
        file = self.configuration if configured else None
        command = picker_command(pool.key, self.source, lease, environment, around.body_limit, file, self.refusals)
        super().__init__("picker", pool.metadata.name, command, lease, GRPC_PORT, METRICS_PORT, around)

    def tell_objects(self, pool: InferencePool, policies: Iterable[Resource]) -> bool:
        """Let the picker know its pool and policies; return whether they are news."""
        return write_objects(self.source, pool, policies)

    def tell_pods(self, members: Iterable[Member], known: Iterable[tuple[str, str, str, int]]) -> bool:
        """Let the picker know the pods; return whether they are news."""
        return write_pods(self.source, members, known)

    def tell_configuration(self, text: str) -> bool:
        """Let the picker have an EndpointPickerConfig; return whether it is news. A running one takes it up."""
        return write_if_changed(self.configuration, text)

    def tell_refusals(self, refusals: Refusals) -> bool:
        """Let the picker know what it is not told because it was refused; return whether that is news."""
        return write_if_changed(self.refusals, refusals.text())


def picker_command(
    pool: Key,
    source: Path,
    lease: Lease,
    environment: Mapping[str, str],
    body_limit: int,
    configuration: Path | None = None,
    refusals: Path | None = None,
) -> Command:
    """The command that runs the picker of a pool; ``body_limit`` in bytes, ``configuration`` its file if it has one.

    ``refusals`` is the file with what was refused before the picker could see it.
    """
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
        *(() if configuration is None else ("--config-file", str(configuration))),
        *(() if refusals is None else ("--refused-file", str(refusals))),
        # Room for the longest body and its like beside it; the picker refuses limits that contradict each other.
        *("--max-buffered-mib", str(max(256, 2 * longest)), "--max-total-buffered-mib", str(max(1024, 4 * longest))),
        "--secure-serving=false",  # the two ends of a loopback connection
    )
    return Command(f"epp-{pool.namespace}-{pool.name}", argv, environment)
