"""Body-based routing learns base models from a real API server, with the Role that is shipped for it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import yaml
from tests.kubernetes.admin import Admin, eventually
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.pickers import PORTS, PickerProcess
from tests.kubernetes.tokens import ServiceAccount

from signalbox.bbr import MANAGED_LABEL, ClusterModels
from signalbox.cluster import Access, Api

RBAC = Path(__file__).parents[2] / "deploy" / "kustomize" / "bbr" / "rbac.yaml"


def config_map(name: str, label: str = "true", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {MANAGED_LABEL: label}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def until(models: ClusterModels, expected: dict[str, str]) -> None:
    """Wait until these are the base models by name."""
    async with asyncio.timeout(30):
        while dict(models.models.by_name) != expected:  # noqa: ASYNC110 - what is waited for comes from a server
            await asyncio.sleep(0.02)


async def test_labelled_config_maps_are_followed_with_the_shipped_role(
    cluster: Cluster, admin: Admin, tmp_path: Path
) -> None:
    documents = yaml.safe_load_all(RBAC.read_text())
    rules = [rule for each in documents if each["kind"] == "Role" for rule in each["rules"]]
    account = ServiceAccount(cluster.kubeconfig, admin, "body-based-router")
    account.may(rules)
    path = f"/api/v1/namespaces/{admin.namespace}/configmaps"
    admin.request("POST", path, config_map("a", baseModel="qwen", adapters="- x\n"))
    admin.request("POST", path, config_map("b", "false", baseModel="none"))
    api = Api(Access(account.kubeconfig(tmp_path / "config")))
    models = ClusterModels(api, admin.namespace)
    following = asyncio.create_task(models.follow())
    try:
        await until(models, {"qwen": "qwen", "x": "qwen"})
        admin.request("POST", path, config_map("c", baseModel="llama"))
        await until(models, {"qwen": "qwen", "x": "qwen", "llama": "llama"})
        admin.request("PUT", f"{path}/a", config_map("a", "false", baseModel="qwen"))
        await until(models, {"llama": "llama"})
        admin.request("DELETE", f"{path}/c")
        await until(models, {})
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await api.close()


class RouterProcess(PickerProcess):
    """``signalbox bbr`` in a process of its own."""

    def _ports(self) -> dict[str, Any]:
        said = ("body-based routing ready", "body-based routing waits for its ConfigMaps")
        return next((line for message in said for line in self.said(message)), {})


def test_its_metrics_are_for_those_whom_the_api_server_lets_get_them(
    cluster: Cluster, admin: Admin, tmp_path: Path
) -> None:
    documents = list(yaml.safe_load_all(RBAC.read_text()))
    rules = {kind: [rule for each in documents if each["kind"] == kind for rule in each["rules"]]
             for kind in ("Role", "ClusterRole")}  # fmt: skip
    account = ServiceAccount(cluster.kubeconfig, admin, "body-based-router")
    account.may(rules["Role"])
    account.may(rules["ClusterRole"], everywhere=True)
    reader = ServiceAccount(cluster.kubeconfig, admin, "prometheus")
    reader.may([{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}], everywhere=True)
    command = [sys.executable, "-m", "signalbox", "bbr", *PORTS, "--namespace", admin.namespace]
    router = RouterProcess([*command, "--kubeconfig", str(account.kubeconfig(tmp_path / "config"))])
    try:
        router.await_ports()
        assert router.get("/metrics")[0] == 401
        assert router.get("/metrics", account.token())[0] == 403
        code, body = router.get("/metrics", reader.token())
        assert (code, "bbr_info" in body) == (200, True)
        assert router.get("/healthz")[0] == 200
        eventually(lambda: router.serving(""), "serving")
        assert router.terminate() == 0
    finally:
        router.end()
