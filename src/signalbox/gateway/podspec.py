"""Reads the parts of a pod template that matter here: containers, probes, mounts and ConfigMap volumes."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from signalbox import resources as spec
from signalbox.gateway.containers import Container
from signalbox.gateway.probes import Method, Probe, Probes, Role, Timing
from signalbox.resources import ConfigMap


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume as a container sees it."""

    path: str
    volume: str
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class ConfigMapVolume:
    """A volume filled from a ConfigMap; no ``items`` means every key under its own name."""

    name: str
    config_map: str
    items: tuple[tuple[str, str], ...] = ()
    optional: bool = False

    def files(self, config_map: ConfigMap | None) -> dict[str, bytes] | None:
        """The files of the volume, path -> content; ``None`` while the ConfigMap or a key of it is missing."""
        if config_map is None:
            return {} if self.optional else None
        contents = {key: text.encode() for key, text in config_map.data.items()}
        contents |= {key: base64.b64decode(text) for key, text in config_map.binary_data.items()}
        if not self.items:
            return contents
        chosen = {path: contents[key] for key, path in self.items if key in contents}
        return chosen if self.optional or len(chosen) == len(self.items) else None


def local_path(path: str, mounts: Iterable[Mount], volumes: Path) -> Path | None:
    """Where a file of a container lies on this machine, given the directory that holds the pod's volumes.

    ``None`` when no mount covers the path. The longest matching mountPath wins, as nested mounts do.
    """
    wanted = PurePosixPath(path)
    for mount in sorted(mounts, key=lambda mount: -len(PurePosixPath(mount.path).parts)):
        at = PurePosixPath(mount.path)
        if wanted == at or at in wanted.parents:
            return volumes.joinpath(mount.volume, mount.sub_path, *wanted.relative_to(at).parts)
    return None


def container_of(container: spec.Container, namespace: str) -> Container:
    """The facts of a resource's container. Environment values that come from a Secret are not known and left out."""
    environment = [
        (variable.name, value)
        for variable in container.env
        if (value := _environment_value(variable, namespace)) is not None
    ]
    return Container(
        name=container.name,
        image=container.image,
        command=container.command,
        args=container.args,
        environment=tuple(environment),
        ports=tuple((port.name, port.container_port) for port in container.ports),
    )


def mounts_of(container: spec.Container) -> tuple[Mount, ...]:
    """The volume mounts of a resource's container."""
    return tuple(Mount(mount.mount_path, mount.name, mount.sub_path) for mount in container.volume_mounts)


def config_map_volumes(volumes: Iterable[spec.Volume]) -> tuple[ConfigMapVolume, ...]:
    """The ConfigMap volumes among a pod's volumes."""
    return tuple(
        ConfigMapVolume(
            volume.name,
            volume.config_map.name,
            tuple((item.key, item.path) for item in volume.config_map.items),
            volume.config_map.optional,
        )
        for volume in volumes
        if volume.config_map is not None
    )


def probes_of(raw: spec.Container, container: Container, place: str = "") -> tuple[Probes, list[str]]:
    """The probes of a container, which is at ``place``, and remarks about those that cannot be run here."""
    remarks: list[str] = []

    def read(role: Role, probe: spec.Probe | None) -> Probe | None:
        if probe is None:
            return None
        try:
            return replace(_probe(probe, container), place=f"{place}.{role}Probe" if place else "")
        except ValueError as error:
            remarks.append(f"{role}Probe of container {container.name!r} is not run: {error}")
            return None

    probes = Probes(
        startup=read(Role.STARTUP, raw.startup_probe),
        readiness=read(Role.READINESS, raw.readiness_probe),
        liveness=read(Role.LIVENESS, raw.liveness_probe),
    )
    return probes, remarks


def _probe(probe: spec.Probe, container: Container) -> Probe:
    timing = Timing(
        initial_delay=float(probe.initial_delay_seconds),
        period=float(probe.period_seconds),
        timeout=float(probe.timeout_seconds),
        success_threshold=probe.success_threshold,
        failure_threshold=probe.failure_threshold,
    )
    if probe.http_get is not None:
        http = probe.http_get
        headers = tuple((str(h["name"]), str(h.get("value", ""))) for h in http.http_headers or ())
        port = _port(http.port, container)
        return Probe(Method.HTTP, port, timing, http.path or "/", headers, http.scheme.lower() or "http")
    if probe.tcp_socket is not None:
        return Probe(Method.TCP, _port(probe.tcp_socket.port, container), timing)
    if probe.grpc is not None:
        # That the port accepts connections is all a simulated server could say about a gRPC health service.
        return Probe(Method.TCP, probe.grpc.port, timing)
    raise ValueError("it runs a command inside the image, and no image runs here")


def _port(port: int | str, container: Container) -> int:
    number = container.port_number(port)
    if number is None:
        raise ValueError(f"no port of the container is named {port!r}")
    return number


def _environment_value(variable: spec.EnvVar, namespace: str) -> str | None:
    if variable.value_from is None:
        return variable.value
    match variable.value_from:
        case {"fieldRef": {"fieldPath": "metadata.namespace"}}:
            return namespace
    return None
