"""A pool's state from a directory of YAML files: what a Kubernetes watch is to a picker in a cluster.

The directory holds the same kinds a cluster would: the InferencePool, InferenceModels, InferenceObjectives,
InferenceModelRewrites and Pods (name, labels, ``status.podIP``, Ready condition). A saved file takes effect at once;
a broken one is reported and its last good content stays in force, and so does an object that is edited in a way that
an API server would refuse.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from signalbox.pool import Pool
from signalbox.resources import (
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    InferencePool,
    Key,
    Pod,
    Resource,
    check_update,
)
from signalbox.sources.manifests import ManifestReader
from signalbox.sources.said import Said
from signalbox.sources.watching import changes


class DirectorySource:
    """Keeps ``pool`` in line with the YAML files under ``path``."""

    def __init__(self, path: Path, pool: Pool) -> None:
        self._path = path
        self._pool = pool
        self._reader = ManifestReader([path])
        self._seen: dict[Key, Resource] = {}
        self._said = Said()

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with the files as they are now, one sentence each."""
        return self._said.current

    def load(self) -> None:
        """Read the directory once and bring the pool in line with it; problems are logged, each once while it lasts."""
        manifests = self._reader.read()
        concerned = {resource.key: resource for resource in manifests.resources if self._concerns(resource)}
        refused = self._refuse_updates(concerned)
        for key in self._seen.keys() - concerned.keys():
            if isinstance(self._seen[key], InferencePool):
                self._pool.set_pool(None)
            else:
                self._pool.remove(key)
        for key, resource in concerned.items():
            if self._seen.get(key) == resource:
                continue
            if isinstance(resource, InferencePool):
                self._pool.set_pool(resource)
            elif isinstance(resource, Pod | InferenceModel | InferenceModelRewrite | InferenceObjective):
                self._pool.put(resource)
        self._seen = concerned
        self._said.report([*map(str, manifests.problems), *refused, *map(str, self._pool.catalogue.conflicts)])

    async def changes(self) -> AsyncIterator[None]:
        """Follow the directory for ever; one item each time the pool was brought in line with it."""
        async for _ in changes([self._path]):
            self.load()
            yield

    def _refuse_updates(self, concerned: dict[Key, Resource]) -> list[str]:
        """Put back the objects whose edits change what may not change; return what is wrong with them."""
        refused: list[str] = []
        for key in concerned.keys() & self._seen.keys():
            unlike = check_update(self._seen[key], concerned[key])
            if unlike:
                concerned[key] = self._seen[key]
                refused += map(str, unlike)
        return refused

    def _concerns(self, resource: Resource) -> bool:
        if isinstance(resource, InferencePool):
            return (resource.metadata.namespace, resource.metadata.name) == (self._pool.namespace, self._pool.name)
        return isinstance(resource, Pod | InferenceModel | InferenceModelRewrite | InferenceObjective)
