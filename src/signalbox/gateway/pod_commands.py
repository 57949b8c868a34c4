"""The processes of a pod as commands of this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from signalbox.gateway.addresses import Lease
from signalbox.gateway.pods import PodTemplate, Syncer
from signalbox.gateway.podspec import local_path
from signalbox.gateway.supervisor import Command


def server_command(name: str, template: PodTemplate, lease: Lease, speed: float) -> Command:
    """The simulated server of a pod: vLLM's own arguments, then where to listen (the last of equal flags counts)."""
    where = ("--host", lease.host, "--port", str(lease.ports[template.port]))
    argv = (sys.executable, "-m", "signalbox", "modelserver", *template.arguments, *where, "--speed", f"{speed:g}")
    return Command(name, argv, template.environment)


def syncer_command(pod: str, syncer: Syncer, template: PodTemplate, lease: Lease, volumes: Path) -> Command:
    """A syncer of a pod: the manifest's flags, then what differs here (the last of equal flags counts).

    The file it reads is the mounted one, the pod's localhost is the pod's address, and so is where it serves metrics.
    """
    config = local_path(syncer.config, syncer.mounts, volumes)
    inside = f"localhost:{template.port}={lease.host}:{lease.ports[template.port]}"
    argv = (
        *(sys.executable, "-m", "signalbox", "lora-syncer", *syncer.arguments),
        *("--config", str(config) if config else syncer.config),
        *("--connect-to", inside),
        *("--metrics-host", lease.host, "--metrics-port", str(metrics_port(syncer, template, lease))),
    )
    return Command(f"{pod}-{syncer.name}", argv, syncer.environment)


def metrics_port(syncer: Syncer, template: PodTemplate, lease: Lease) -> int:
    """Where a syncer of a pod serves its metrics, on the pod's address; 0 if nowhere."""
    return lease.spare[template.syncers.index(syncer)]


def config_names(syncer: Syncer, template: PodTemplate, volumes: Path) -> Mapping[str, str]:
    """What to call a syncer's configuration file, by its path here: its ConfigMap and key, where it is one."""
    config = local_path(syncer.config, syncer.mounts, volumes)
    if config is None:
        return {}
    volume, *inside = config.relative_to(volumes).parts
    maps = [f"ConfigMap {each.config_map} {'/'.join(inside)}" for each in template.volumes if each.name == volume]
    return {str(config): (maps or [syncer.config])[0]}
