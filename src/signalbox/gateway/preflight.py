"""What is checked before anything starts, so that a mistake is one clear line and not a half-started gateway."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from pathlib import Path

from signalbox.gateway.addresses import port_is_free
from signalbox.gateway.desired import Desired
from signalbox.gateway.envoy import EnvoyError, find_envoy
from signalbox.gateway.listeners import PortMap
from signalbox.gateway.up import UpError
from signalbox.resources import Problem

SUFFIXES = (".yaml", ".yml", ".json")


def check_paths(paths: Sequence[Path], servers: Sequence[str]) -> None:
    """Raise ``UpError`` where there is nothing to read, or nothing was named at all."""
    if not paths and not servers:
        raise UpError(
            "nothing to run: name a directory with Kubernetes YAML (examples/get-started), or --server URL", 2
        )
    for path in paths:
        if not path.exists():
            raise UpError(f"{path}: no such file or directory", 2)
        if path.is_dir() and not any(
            file.suffix in SUFFIXES for file in path.rglob("*") if not file.name.startswith(".")
        ):
            raise UpError(f"{path}: no YAML found; it should hold files that end in {', '.join(SUFFIXES)}", 2)


def check_manifests(problems: Iterable[Problem], empty: bool) -> None:
    """Raise ``UpError`` when problems left nothing to run."""
    if empty:
        given = tuple(problems)
        if given:
            raise UpError(
                f"nothing valid is left to run: {len(given)} problem{'s' * (len(given) > 1)}, listed above", 1
            )
        raise UpError("the manifests hold no InferencePool, HTTPRoute or Deployment of vLLM servers: nothing to run", 1)


def check_configuration(file: Path | None, desired: Desired) -> None:
    """Raise ``UpError`` when the configuration in ``file``, which every picker is to have, was refused."""
    if file is not None and desired.refused_configurations:
        count = len(next(iter(desired.refused_configurations.values())))
        raise UpError(f"--config-file {file}: {count} problem{'s' * (count > 1)}, listed above", 2)


def check_envoy() -> None:
    """Raise ``UpError`` when there is no Envoy to run."""
    try:
        find_envoy()
    except EnvoyError as error:
        raise UpError(str(error), 1) from None


def check_ports(ports: PortMap, host: str) -> None:
    """Raise ``UpError`` for a listener port that cannot be listened on."""
    for declared, port in ports.declared.items():
        error = port_is_free(host, port)
        if error is None:
            continue
        first = port == next(iter(ports.declared.values()))
        if error.errno == errno.EADDRINUSE:
            fix = (
                "choose another with --port" if first else f"free it, or change the Gateway's listener port {declared}"
            )
            raise UpError(f"port {port} of {host} is in use; {fix}", 1)
        if error.errno == errno.EACCES:
            raise UpError(f"port {port} of {host} needs privileges; choose one from 1024 up with --port", 1)
        raise UpError(f"cannot listen on {host} port {port}: {error.strerror}; choose an address of this machine", 2)
