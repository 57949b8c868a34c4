"""What the Deployment of a picker asks of the picker that runs here in its place: thresholds and a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from signalbox.gateway.containers import PICKER_VARIABLES, expand
from signalbox.gateway.podspec import ConfigMapVolume, config_map_volumes, container_of, local_path, mounts_of
from signalbox.resources import Deployment, Origin

FILE_FLAG = "config-file"
TEXT_FLAG = "config-text"


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where a Deployment says its EndpointPickerConfig is: in its arguments, or in a file of a ConfigMap volume."""

    origin: Origin
    """Of the Deployment."""
    deployment: str
    namespace: str
    field: str
    """Where the flag stands."""
    text: str | None = None
    """The configuration itself, from ``--config-text``."""
    volume: ConfigMapVolume | None = None
    """The volume that holds the file; ``None`` beside no ``text``: no ConfigMap is mounted there."""
    file: str = ""
    """The file's path inside the volume; inside the container where there is no volume."""

    @property
    def key(self) -> str:
        """The key of the ConfigMap that becomes the file."""
        items = self.volume.items if self.volume is not None else ()
        return next((key for key, path in items if path == self.file), self.file)


@dataclass(frozen=True, slots=True)
class PickerSettings:
    """What is passed on to our picker."""

    environment: Mapping[str, str] = field(default_factory=dict)
    configuration: Configuration | None = None


def picker_settings(deployment: Deployment) -> PickerSettings:
    """Read a picker's Deployment; of a flag or variable that several containers have, the last counts."""
    environment: dict[str, str] = {}
    configuration: Configuration | None = None
    pod = deployment.spec.template.spec
    metadata = deployment.metadata
    volumes = {volume.name: volume for volume in config_map_volumes(pod.volumes)}
    for index, raw in enumerate(pod.containers):
        container = container_of(raw, metadata.namespace)
        environment |= {name: value for name, value in container.variables.items() if name in PICKER_VARIABLES}
        words = [expand(word, container.variables) for word in (*container.command, *container.args)]
        part = "args" if raw.args else "command"
        place = (deployment.origin or Origin(""), metadata.name, metadata.namespace)
        here = f"spec.template.spec.containers[{index}].{part}"
        text, file = go_option(words, TEXT_FLAG), go_option(words, FILE_FLAG)
        if text:
            configuration = Configuration(*place, here, text=text)
        elif file:
            inside = local_path(file, mounts_of(raw), Path())
            volume = volumes.get(inside.parts[0]) if inside is not None and inside.parts else None
            path = str(Path(*inside.parts[1:])) if inside is not None and volume is not None else file
            configuration = Configuration(*place, here, volume=volume, file=path)
    return PickerSettings(environment, configuration)


def go_option(words: Sequence[str], name: str) -> str | None:
    """The value of a flag as Go programs read it: one dash or two, ``-configFile`` for ``config-file``, the last."""
    camel = name.partition("-")[0] + "".join(part.capitalize() for part in name.split("-")[1:])
    found = None
    for index, word in enumerate(words):
        if not word.startswith("-"):
            continue
        flag, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if flag in (name, camel):
            if equals:
                found = value
            elif index + 1 < len(words):
                found = words[index + 1]
    return found
