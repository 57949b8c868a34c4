"""Base models from the ConfigMaps of a Kubernetes API server, followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec

from signalbox.bbr.base_models import MANAGED_LABEL, BaseModels, read_base_models
from signalbox.cluster import Api, Change, Codec, Collection, Follower, Put, Reflector
from signalbox.resources import ConfigMap, Origin, parse_resource
from signalbox.resources.problems import InvalidResource
from signalbox.sources.said import Said


class _Meta(msgspec.Struct):
    name: str
    namespace: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    created: str | None = msgspec.field(name="creationTimestamp", default=None)


class ConfigMapRecord(msgspec.Struct):
    """Name, age and texts of a ConfigMap."""

    metadata: _Meta
    data: dict[str, str] | None = None

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.metadata.name

    @property
    def version(self) -> str:
        """``metadata.resourceVersion``."""
        return self.metadata.resource_version

    def document(self) -> dict[str, Any]:
        """The labelled ConfigMap as a manifest that says no more than this."""
        metadata: dict[str, Any] = {"name": self.metadata.name, "labels": {MANAGED_LABEL: "true"}}
        if self.metadata.namespace:
            metadata["namespace"] = self.metadata.namespace
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self.data or {}}


class ClusterModels:
    """The labelled ConfigMaps of one namespace. While the API server is away the last state stays in force."""

    def __init__(
        self, api: Api, namespace: str, clock: Callable[[], float] = time.monotonic, rng: Random | None = None
    ) -> None:
        self.models = BaseModels()
        selector = (("labelSelector", f"{MANAGED_LABEL}=true"),)
        self._collection = Collection("", "v1", "configmaps", namespace, selector)
        self._known: dict[str, ConfigMapRecord] = {}
        self._said = Said()
        reflector: Reflector[ConfigMapRecord] = Reflector(rng or Random(), builtin=True)
        codec = Codec(ConfigMapRecord)
        self._follower = Follower(api, self._collection, codec, reflector, self._deliver, clock)
        self._changed: Callable[[], None] = lambda: None

    @property
    def known(self) -> bool:
        """Whether the ConfigMaps were read at least once; being refused them is no reading."""
        return self._follower.reflector.lists > 0

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever there may be news, among them that the ConfigMaps are `known`."""
        self._changed = changed

    async def follow(self) -> None:
        """Follow them for ever."""
        await self._follower.run()

    def _deliver(self, changes: Sequence[Change[ConfigMapRecord]]) -> None:
        for change in changes:
            if isinstance(change, Put):
                self._known[change.item.name] = change.item
            else:
                self._known.pop(change.name, None)
        if changes:
            self._read()
        self._changed()

    def _read(self) -> None:
        config_maps: list[ConfigMap] = []
        problems: list[str] = []
        for record in sorted(self._known.values(), key=lambda each: (each.metadata.created or "", each.name)):
            try:
                config_map = parse_resource(record.document(), Origin(self._collection.path))
            except InvalidResource as invalid:
                problems += map(str, invalid.problems)
                continue
            assert isinstance(config_map, ConfigMap)
            config_maps.append(config_map)
        self.models, found = read_base_models(config_maps)
        self._said.report([*problems, *map(str, found)])
