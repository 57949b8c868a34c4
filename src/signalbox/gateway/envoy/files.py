"""Envoy's configuration as files, replaced so that no request meets a route whose cluster is not there yet."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path

from signalbox.gateway.envoy import layout
from signalbox.gateway.envoy.model import EnvoyConfig, Json

_VERSION = re.compile(r'\{"version_info": "(\d+)"')

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_LISTENER = "envoy.config.listener.v3.Listener"
_ROUTES = "envoy.config.route.v3.RouteConfiguration"
_ENDPOINTS = "envoy.config.endpoint.v3.ClusterLoadAssignment"


class EnvoyFiles:
    """The files of one Envoy below ``directory``, each replaced whole by a rename.

    Every file carries the version in which it last changed. A new object starts afresh: files of an earlier run go.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.version = 0
        """The version last written; 0 before the first."""
        self.current: EnvoyConfig | None = None
        """The configuration last written in full."""
        self._contents: dict[Path, list[Json]] = {}
        shutil.rmtree(self.directory / "xds", ignore_errors=True)
        files = (layout.LISTENERS, layout.CLUSTERS)
        for folder in (*(file.parent for file in files), layout.ROUTES, layout.ENDPOINTS, layout.STAGING):
            (self.directory / folder).mkdir(parents=True)
        self._replace(layout.BOOTSTRAP, json.dumps(bootstrap(self.directory), indent=1))

    def write(self, config: EnvoyConfig) -> int:
        """Write ``config`` in one go and return its version. For an Envoy that does not serve yet."""
        for _ in self.stages(config):
            pass
        return self.version

    def stages(self, config: EnvoyConfig) -> Iterator[int]:
        """Write ``config`` in up to three stages; yields the version of each stage that changed a file.

        First clusters and their endpoints come in, then routes change and listeners come in, then the listeners and
        clusters that are gone go. A caller whose Envoy serves waits until each stage is applied before it asks for
        the next.
        """
        old = self.current or EnvoyConfig()
        endpoints = [(layout.endpoint_file(item["cluster_name"]), _ENDPOINTS, (item,)) for item in config.endpoints]
        routes = [(layout.route_file(item["name"]), _ROUTES, (item,)) for item in config.routes]
        yield from self._stage([*endpoints, (layout.CLUSTERS, _CLUSTER, _both(config.clusters, old.clusters))])
        yield from self._stage([*routes, (layout.LISTENERS, _LISTENER, _both(config.listeners, old.listeners))])
        removals = (
            (layout.LISTENERS, _LISTENER, _both(config.listeners)),
            (layout.CLUSTERS, _CLUSTER, _both(config.clusters)),
        )
        removed = list(self._stage(removals))
        self._forget({file for file, *_ in (*endpoints, *routes, *removals)})
        yield from removed
        self.current = config

    def _stage(self, files: Iterable[tuple[Path, str, Iterable[Json]]]) -> Iterator[int]:
        version = self.version + 1
        for file, kind, items in files:
            resources = [{"@type": f"type.googleapis.com/{kind}", **item} for item in items]
            if self._contents.get(file) != resources:
                self._replace(file, json.dumps({"version_info": str(version), "resources": resources}))
                self._contents[file] = resources
                self.version = version
        if self.version == version:
            yield version

    def _forget(self, wanted: set[Path]) -> None:
        for file in set(self._contents) - wanted:
            (self.directory / file).unlink(missing_ok=True)
            del self._contents[file]

    def _replace(self, file: Path, text: str) -> None:
        # Written aside first: the rename into place is what Envoy watches for, and it never sees half a file.
        staged = self.directory / layout.STAGING / file.name
        staged.write_text(text, encoding="utf-8")
        os.replace(staged, self.directory / file)


def _both(new: Iterable[Json], old: Iterable[Json] = ()) -> list[Json]:
    """The new resources, and of the old ones those whose name is gone; by name, so that the order changes nothing."""
    return sorted({item["name"]: item for item in (*old, *new)}.values(), key=itemgetter("name"))


def written_versions(directory: Path) -> dict[str, str]:
    """The version in each file, under the name of the Envoy statistic that tells which version is in force."""
    files = {
        "listener_manager.lds.version_text": directory / layout.LISTENERS,
        "cluster_manager.cds.version_text": directory / layout.CLUSTERS,
    }
    for file in sorted((directory / layout.ROUTES).glob("*.json")):
        files[f"http.{file.stem}.rds.{file.stem}.version_text"] = file
    for file in sorted((directory / layout.ENDPOINTS).glob("*.json")):
        files[f"cluster.{file.stem.replace('_', '/')}.version_text"] = file
    versions = {}
    for name, file in files.items():
        try:
            with file.open(encoding="utf-8") as opened:
                found = _VERSION.match(opened.read(64))
        except FileNotFoundError:  # nothing written yet, or just removed
            continue
        if found:
            versions[name] = found[1]
    return versions


def bootstrap(directory: Path) -> Json:
    """The configuration Envoy starts from: where the rest is, and an admin server on a free loopback port."""
    return {
        "node": {"id": "signalbox", "cluster": "signalbox"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "lds_config": layout.source(directory, layout.LISTENERS),
            "cds_config": layout.source(directory, layout.CLUSTERS),
        },
    }
