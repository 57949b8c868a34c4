"""A pool's state from a directory of YAML files: what a Kubernetes watch is to a picker in a cluster.

The directory holds the same kinds a cluster would: the InferencePool, InferenceModels, InferenceObjectives,
InferenceModelRewrites and Pods (name, labels, ``status.podIP``, Ready condition). A saved file takes effect at once;
a broken one is reported and its last good content stays in force.
"""

from __future__ import annotations

import logging
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
)
from signalbox.sources.manifests import ManifestReader
from signalbox.sources.watching import changes

log = logging.getLogger("signalbox.sources")


class DirectorySource:
    """Keeps ``pool`` in line with the YAML files under ``path``."""

    def __init__(self, path: Path, pool: Pool) -> None:
        self._path = path
        self._pool = pool
        self._reader = ManifestReader([path])
        self._seen: dict[Key, Resource] = {}
        self._said: set[str] = set()

    def load(self) -> None:
        """Read the directory once and bring the pool in line with it; problems are logged, each once while it lasts."""
        manifests = self._reader.read()
        concerned = {resource.key: resource for resource in manifests.resources if self._concerns(resource)}
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
        self._report(
            [str(problem) for problem in manifests.problems] + [str(c) for c in self._pool.catalogue.conflicts]
        )

    async def changes(self) -> AsyncIterator[None]:
        """Follow the directory for ever; one item each time the pool was brought in line with it."""
        async for _ in changes([self._path]):
            self.load()
            yield

    def _concerns(self, resource: Resource) -> bool:
        if isinstance(resource, InferencePool):
            return (resource.metadata.namespace, resource.metadata.name) == (self._pool.namespace, self._pool.name)
        return isinstance(resource, Pod | InferenceModel | InferenceModelRewrite | InferenceObjective)

    def _report(self, problems: list[str]) -> None:
        for problem in problems:
            if problem not in self._said:
                log.warning("configuration problem", extra={"problem": problem})
        for problem in self._said - set(problems):
            log.info("configuration problem solved", extra={"problem": problem})
        self._said = set(problems)
