"""What a picker reads: a directory with its pool's objects and the pods, written whole and only when it changes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from signalbox.gateway.members import Member, Phase
from signalbox.pool import PORT_ANNOTATION
from signalbox.resources import InferencePool, Resource, serialize

OBJECTS_FILE = "objects.yaml"
PODS_FILE = "pods.yaml"


def write_objects(directory: Path, pool: InferencePool, policies: Iterable[Resource]) -> bool:
    """Write the pool and the policies that refer to it, oldest first; return whether they changed."""
    documents = [serialize(pool), *(serialize(policy) for policy in policies)]
    return write_if_changed(directory / OBJECTS_FILE, yaml.safe_dump_all(documents, sort_keys=False))


def write_pods(directory: Path, members: Iterable[Member], known: Iterable[tuple[str, str, str, int]]) -> bool:
    """Write the pods; return whether they changed.

    A pod counts as Ready only when its identity is in ``known``, the endpoints the proxy has been told: a picker
    must never name an address the proxy does not know.
    """
    proxied = frozenset(known)
    pods = [pod_document(member, member.identity in proxied) for member in members]
    # A list, so that no pods at all is still a document: an empty file would be taken for one that is being written.
    document = {"apiVersion": "v1", "kind": "List", "items": pods}
    return write_if_changed(directory / PODS_FILE, yaml.safe_dump(document, sort_keys=False))


def pod_document(member: Member, proxied: bool) -> dict[str, Any]:
    """The member as a Kubernetes Pod."""
    ready = member.ready and proxied
    metadata: dict[str, Any] = {
        "name": member.name,
        "namespace": member.namespace,
        "labels": dict(member.labels),
        "annotations": {PORT_ANNOTATION: str(member.port)},
    }
    if member.phase is Phase.DRAINING:
        # Only that there is such a time matters; a constant one keeps the file the same from write to write.
        metadata["deletionTimestamp"] = "1970-01-01T00:00:00Z"
    ports = [{"containerPort": member.port}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [{"name": "server", "ports": ports}]},
        "status": {
            "podIP": member.host,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def belongs_to(policy: Resource, pool: InferencePool) -> bool:
    """Whether a model, objective or rewrite refers to this pool."""
    reference: Any = getattr(getattr(policy, "spec", None), "pool_ref", None)
    return (
        reference is not None
        and policy.metadata.namespace == pool.metadata.namespace
        and reference.name == pool.metadata.name
    )


def write_if_changed(path: Path, text: str) -> bool:
    """Replace a file in one step unless it already holds ``text``; return whether it did not."""
    content = text.encode()
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the watched directory, not in it: a watcher never meets the half-written file.
    fresh = path.parent.with_name(f"{path.parent.name}.{path.name}.new")
    fresh.write_bytes(content)
    os.replace(fresh, path)
    return True
