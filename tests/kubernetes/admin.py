"""The cluster's administrator: creates, patches and deletes objects, with an HTTP client that is not the picker's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig

LABELS = {"app": "llm"}
PLURALS = {
    "Pod": ("v1", "pods"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "Lease": ("coordination.k8s.io/v1", "leases"),
    "Role": ("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "Namespace": ("v1", "namespaces"),
    "InferencePool": ("inference.networking.k8s.io/v1", "inferencepools"),
    "InferenceModel": ("inference.networking.x-k8s.io/v1alpha2", "inferencemodels"),
    "InferenceObjective": ("inference.networking.x-k8s.io/v1alpha2", "inferenceobjectives"),
    "InferenceModelRewrite": ("inference.networking.x-k8s.io/v1alpha2", "inferencemodelrewrites"),
}
_CLUSTERED = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace"}


class Answered(Exception):
    """The API server answered with an error: ``code`` and ``message`` are its own."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Admin:
    """Acts in one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        config = KubeConfig.from_file(kubeconfig).get()
        assert config is not None
        self._client: httpx2.Client = Client(config, ConnectionParams())
        self.namespace = namespace

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def path(self, kind: str, name: str = "", api_version: str = "") -> str:
        """Where objects of ``kind`` are, or the one called ``name``."""
        usual, plural = PLURALS[kind]
        version = api_version or usual
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        place = root if kind in _CLUSTERED else f"{root}/namespaces/{self.namespace}"
        return f"{place}/{plural}/{name}" if name else f"{place}/{plural}"

    def request(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send one request; raises `Answered` for an error."""
        # No connection is kept: the tests stop the server, and a connection it leaves behind would never be closed.
        answer = self._client.request(method, path, json=body, headers={"Connection": "close"} | dict(headers or {}))
        if answer.is_error:
            status = answer.json() if "json" in answer.headers.get("Content-Type", "") else {}
            raise Answered(answer.status_code, status.get("message", answer.text))
        parsed: dict[str, Any] = answer.json()
        return parsed

    def create(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object, and write its status where it has one."""
        kind, version = document["kind"], document.get("apiVersion", "")
        created = self.request("POST", self.path(kind, api_version=version), document)
        if "status" in document and kind == "Pod":
            created = self.patch_status(kind, document["metadata"]["name"], document["status"])
        return created

    def patch(self, kind: str, name: str, change: Mapping[str, Any], api_version: str = "") -> dict[str, Any]:
        """Merge ``change`` into an object."""
        merge = {"Content-Type": "application/merge-patch+json"}
        return self.request("PATCH", self.path(kind, name, api_version), change, merge)

    def patch_status(self, kind: str, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Merge ``status`` into an object's status, as a kubelet does."""
        merge = {"Content-Type": "application/merge-patch+json"}
        return self.request("PATCH", f"{self.path(kind, name)}/status", {"status": status}, merge)

    def delete(self, kind: str, name: str, api_version: str = "") -> None:
        """Delete an object at once, since no kubelet is there to end a pod."""
        self.request("DELETE", self.path(kind, name, api_version), {"gracePeriodSeconds": 0})

    # -- what the tests are about -------------------------------------------------------------------------------

    def pool(self, name: str = "pool", labels: Mapping[str, str] | None = None, port: int = 8000) -> dict[str, Any]:
        """Create an InferencePool."""
        spec = {
            "selector": {"matchLabels": dict(labels or LABELS)},
            "targetPorts": [{"number": port}],
            "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
        }
        return self.create(document("InferencePool", name, spec))

    def pod(
        self, name: str, address: str, *, ready: bool = True, labels: Mapping[str, str] | None = None, **meta: Any
    ) -> dict[str, Any]:
        """Create a Pod that has ``address`` and is ready or not."""
        return self.create(pod(name, address, ready=ready, labels=labels, **meta))

    def set_ready(self, name: str, ready: bool) -> None:
        """What a readiness probe found."""
        self.patch_status("Pod", name, {"conditions": [_condition(ready)]})

    def model(self, name: str, model_name: str, pool: str = "pool", **spec: Any) -> dict[str, Any]:
        """Create an InferenceModel."""
        return self.create(
            document("InferenceModel", name, {"modelName": model_name, "poolRef": {"name": pool}} | spec)
        )


def document(kind: str, name: str, spec: Mapping[str, Any], api_version: str = "") -> dict[str, Any]:
    """An object as a document."""
    version = api_version or PLURALS[kind][0]
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def pod(
    name: str, address: str, *, ready: bool = True, labels: Mapping[str, str] | None = None, **meta: Any
) -> dict[str, Any]:
    """A Pod as a document; ``meta`` goes into its metadata."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": dict(labels or LABELS)} | meta,
        "spec": {"containers": [{"name": "server", "image": "server"}]},
        "status": {"podIP": address, "phase": "Running", "conditions": [_condition(ready)]},
    }


def _condition(ready: bool) -> dict[str, str]:
    return {"type": "Ready", "status": "True" if ready else "False"}


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait until ``condition`` holds; fail with ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
