"""References to converted pools."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from signalbox.resources.gatewayapi import GATEWAY_GROUP
from signalbox.resources.migration.manifest import Entry
from signalbox.resources.references import EXPERIMENTAL_GROUP, STABLE_GROUP

PoolName = tuple[str, str]
"""Namespace and name."""


class Repointed:
    """An object whose references to converted pools name the group of v1.

    Routes refer to pools as backends and as targets of mirrors, objectives and rewrites by ``poolRef``.
    """

    def __init__(self, entry: Entry, converted: Container[PoolName]) -> None:
        self._namespace = entry.namespace
        self._converted = converted
        self.changed = False
        """Whether any reference was changed."""
        self.left: list[PoolName] = []
        """Pools in the old group that are referred to and were not converted."""
        self.content = self._walk(entry.content, "") if _refers(entry.content) else entry.content

    def _walk(self, value: Any, field: str) -> Any:
        if isinstance(value, list):
            return [self._walk(item, field) for item in value]
        if not isinstance(value, dict):
            return value
        # Only a poolRef may leave its kind out: elsewhere the default is a Service.
        kind = value.get("kind") or ("InferencePool" if field == "poolRef" else None)
        if value.get("group") == EXPERIMENTAL_GROUP and kind == "InferencePool" and isinstance(value.get("name"), str):
            pool = (value.get("namespace") or self._namespace, value["name"])
            if pool in self._converted:
                self.changed = True
                return value | {"group": STABLE_GROUP}
            self.left.append(pool)
            return value
        return {name: self._walk(content, name) for name, content in value.items()}


def _refers(content: dict[str, Any]) -> bool:
    kind, group = str(content.get("kind")), str(content.get("apiVersion")).rpartition("/")[0]
    return kind in ("InferenceObjective", "InferenceModelRewrite") or (
        group == GATEWAY_GROUP and kind.endswith("Route")
    )
