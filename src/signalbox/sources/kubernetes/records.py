"""What is read of an object from an API server: the fields that matter here, and none of the others."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.pool import ACTIVE_PORTS_ANNOTATION, PORT_ANNOTATION, STICKY_ANNOTATION

_ANNOTATIONS = frozenset({PORT_ANNOTATION, ACTIVE_PORTS_ANNOTATION})


class _PodMeta(msgspec.Struct):
    name: str
    namespace: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deleted: str | None = msgspec.field(name="deletionTimestamp", default=None)


class _Condition(msgspec.Struct):
    type: str
    status: str
    reason: str | None = None
    message: str | None = None


class _PodStatus(msgspec.Struct):
    ip: str | None = msgspec.field(name="podIP", default=None)
    conditions: list[_Condition] | None = None


class PodRecord(msgspec.Struct):
    """A Pod: name, labels, address, readiness and its reason. Its containers are of no interest and not decoded."""

    metadata: _PodMeta
    status: _PodStatus | None = None

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.metadata.name

    @property
    def version(self) -> str:
        """``metadata.resourceVersion``."""
        return self.metadata.resource_version

    @property
    def serving(self) -> bool:
        """Whether it is Ready and not on its way out."""
        conditions = (self.status.conditions if self.status is not None else None) or ()
        ready = any(condition.type == "Ready" and condition.status == "True" for condition in conditions)
        return ready and self.metadata.deleted is None

    def document(self) -> dict[str, Any]:
        """The Pod as a manifest that says no more than this; equal ones mean that nothing here has changed."""
        metadata: dict[str, Any] = {
            "name": self.metadata.name,
            "namespace": self.metadata.namespace,
            "labels": self.metadata.labels or {},
            "annotations": {
                name: value for name, value in (self.metadata.annotations or {}).items() if name in _ANNOTATIONS
            },
        }
        if self.metadata.deleted is not None:
            metadata["deletionTimestamp"] = self.metadata.deleted
        status: dict[str, Any] = {}
        if self.status is not None:
            status["podIP"] = self.status.ip or ""
            status["conditions"] = [
                {
                    "type": condition.type,
                    "status": condition.status,
                    "reason": condition.reason,
                    "message": condition.message,
                }
                for condition in self.status.conditions or ()
                if condition.type == "Ready"
            ]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


class _Meta(msgspec.Struct):
    name: str
    uid: str = ""
    namespace: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    created: str | None = msgspec.field(name="creationTimestamp", default=None)
    deleted: str | None = msgspec.field(name="deletionTimestamp", default=None)
    annotations: dict[str, str] | None = None


class PolicyRecord(msgspec.Struct):
    """An InferencePool, InferenceModel, InferenceObjective or InferenceModelRewrite: its spec as it stands, and of its
    metadata what tells age and identity, and the one annotation that is heeded. Status is not decoded: gateways write
    it often."""

    metadata: _Meta
    spec: Any = None

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.metadata.name

    @property
    def version(self) -> str:
        """``metadata.resourceVersion``."""
        return self.metadata.resource_version

    @property
    def deleted(self) -> bool:
        """Whether it is on its way out, held up by a finalizer."""
        return self.metadata.deleted is not None

    def document(self, kind: str, api_version: str) -> dict[str, Any]:
        """The object as a manifest that says no more than this."""
        metadata: dict[str, Any] = {"name": self.metadata.name, "namespace": self.metadata.namespace}
        if self.metadata.created is not None:
            metadata["creationTimestamp"] = self.metadata.created
        sticky = (self.metadata.annotations or {}).get(STICKY_ANNOTATION)
        if sticky is not None:
            metadata["annotations"] = {STICKY_ANNOTATION: sticky}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": self.spec}
