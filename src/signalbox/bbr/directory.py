"""Base models from a directory of YAML files, watched."""

from __future__ import annotations

from pathlib import Path

from signalbox.bbr.base_models import BaseModels, read_base_models
from signalbox.resources import ConfigMap
from signalbox.sources import ManifestReader, changes
from signalbox.sources.said import Said


class ModelDirectory:
    """The ConfigMaps of one namespace below ``path``. A broken file is reported, its last good content stays."""

    def __init__(self, path: Path, namespace: str) -> None:
        self._path = path
        self._namespace = namespace
        self._reader = ManifestReader([path])
        self._said = Said()
        self.models = BaseModels()

    def load(self) -> None:
        """Read the directory once; problems are logged, each once while it lasts."""
        manifests = self._reader.read()
        config_maps = [
            each
            for each in manifests.resources
            if isinstance(each, ConfigMap) and each.metadata.namespace == self._namespace
        ]
        self.models, found = read_base_models(config_maps)
        self._said.report(str(problem) for problem in (*manifests.problems, *found))

    async def follow(self) -> None:
        """Read it again after every change, for ever. Raises OSError when the system cannot watch it."""
        async for _ in changes([self._path]):
            self.load()
