"""Body-based routing on this machine: one process, while some HTTPRoute matches on what it sets."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from signalbox.bbr import MANAGED_LABEL
from signalbox.gateway.addresses import PICKER_NETWORK, Lease, NoAddress, claim
from signalbox.gateway.desired import Desired
from signalbox.gateway.envoy import body_routing_wanted
from signalbox.gateway.local_pod import Surroundings
from signalbox.gateway.local_service import LocalService
from signalbox.gateway.source_files import write_if_changed
from signalbox.gateway.supervisor import Command
from signalbox.resources import ConfigMap, serialize

GRPC_PORT = 9004
HEALTH_PORT = 9005
METRICS_PORT = 9090
NAMESPACE = "default"
CONFIG_MAPS_FILE = "configmaps.yaml"

_MIB = 1024 * 1024


class BodyRouting:
    """Starts and ends the process as HTTPRoutes come and go. ``say_once`` takes a subject and a line."""

    def __init__(self, around: Surroundings, say_once: Callable[[str, str], None]) -> None:
        self._around = around
        self._say_once = say_once
        self._source = around.directory / "bbr"
        self._service: LocalService | None = None
        self._wanted = False
        self._served = False
        self._told = ""
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """``host:port`` of its ext_proc service, for the proxy; empty while it is not needed or has not served yet.

        A process that has to be started again keeps its place: the proxy refuses requests meanwhile.
        """
        return self._service.address if self._service is not None and self._wanted and self._served else ""

    @property
    def ready(self) -> bool:
        """Whether it serves and the proxy knows, or it is not needed."""
        if not self._wanted:
            return True
        return self._service is not None and self._service.ready and self._told == self._service.address

    def match(self, desired: Desired) -> None:
        """Have the process run if a route needs it, and tell it the ConfigMaps of base models."""
        self._wanted = body_routing_wanted(desired.routes)
        if self._wanted:
            write_config_maps(self._source, desired.config_maps)
            if self._service is None:
                self._start()
        self._served = self._service is not None and (self._served or self._service.ready)

    def told(self, address: str) -> None:
        """The proxy has been told this address: a process that is no longer needed may end."""
        self._told = address
        if self._service is not None and not self._wanted and not address:
            service, self._service = self._service, None
            self._served = False
            self._around.say("bbr", f"{service.address} stopping: no HTTPRoute matches on the body's model")
            task = asyncio.create_task(service.stop())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def stop(self) -> None:
        """End it."""
        await asyncio.gather(*self._ending, return_exceptions=True)
        if self._service is not None:
            await self._service.stop()
            self._service = None

    def _start(self) -> None:
        try:
            lease = claim(PICKER_NETWORK, (GRPC_PORT, HEALTH_PORT, METRICS_PORT), avoid=self._around.taken_ports)
        except NoAddress as error:
            self._say_once("bbr", str(error))
            return
        command = router_command(self._source, lease, self._around.body_limit)
        self._service = LocalService("bbr", "body-based routing", command, lease, GRPC_PORT, METRICS_PORT, self._around)
        self._service.start()
        self._around.say("bbr", f"{self._service.address} starting: HTTPRoutes match on the body's model")


def write_config_maps(directory: Path, config_maps: Mapping[tuple[str, str], ConfigMap]) -> bool:
    """Write the ConfigMaps that name base models, as one namespace; return whether they changed."""
    items = [
        serialize(each) | {"metadata": {"name": f"{space}.{name}", "labels": {MANAGED_LABEL: "true"}}}
        for (space, name), each in config_maps.items()
        if each.metadata.labels.get(MANAGED_LABEL) == "true"
    ]
    document = {"apiVersion": "v1", "kind": "List", "items": items}
    return write_if_changed(directory / CONFIG_MAPS_FILE, yaml.safe_dump(document, sort_keys=False))


def router_command(source: Path, lease: Lease, body_limit: int) -> Command:
    """The command that runs body-based routing; ``body_limit`` in bytes."""
    argv = (
        *(sys.executable, "-m", "signalbox", "bbr"),
        *("--source", str(source), "--namespace", NAMESPACE),
        *("--grpc-host", lease.host),
        *("--grpc-port", str(lease.ports[GRPC_PORT])),
        *("--grpc-health-port", str(lease.ports[HEALTH_PORT])),
        *("--metrics-port", str(lease.ports[METRICS_PORT])),
        *("--body-limit", str(-(-body_limit // _MIB))),
        "--secure-serving=false",  # the two ends of a loopback connection
    )
    return Command("bbr", argv, {})
