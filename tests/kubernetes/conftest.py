"""A real API server for the tests: the one that ``make test-kubernetes`` built, or the one ``KUBECONFIG`` names."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.kubernetes.admin import Admin, Answered
from tests.kubernetes.apiserver.control import ApiServer, server_from_environment

MISSING = "no API server: run make test-kubernetes, or set KUBECONFIG to one that namespaces and CRDs may be created in"


@dataclass(frozen=True)
class Cluster:
    """The API server. ``server`` is ``None`` where it is not ours to stop."""

    kubeconfig: Path
    server: ApiServer | None
    release: str
    """Such as ``1.20``."""

    @property
    def ours(self) -> ApiServer:
        """The server, for a test that stops it; the test is skipped where it is another's."""
        if self.server is None:
            pytest.skip("the API server that KUBECONFIG names is not stopped for a test: run make test-kubernetes")
        return self.server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The API server, with the CRDs of ``signalbox crds`` installed, but for those of llm-d.ai."""
    server = server_from_environment(tmp_path_factory.mktemp("apiserver"))
    if server is not None:
        with server:
            yield _prepared(server.kubeconfig("admin"), server)
    elif os.environ.get("KUBECONFIG"):
        yield _prepared(Path(os.environ["KUBECONFIG"]), None)
    else:
        pytest.skip(MISSING)


def _prepared(kubeconfig: Path, server: ApiServer | None) -> Cluster:
    admin = Admin(kubeconfig, "default")
    version = admin.request("GET", "/version")
    release = f"{version['major']}.{version['minor'].rstrip('+')}"
    install(admin, release)
    admin.close()
    return Cluster(kubeconfig, server, release)


def install(admin: Admin, release: str, *flags: str) -> list[str]:
    """Create what ``signalbox crds`` prints where it is not there; return the names."""
    command = [sys.executable, "-m", "signalbox", "crds", "--for-kubernetes", release, *flags]
    printed = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    names = []
    for definition in yaml.safe_load_all(printed):
        names.append(definition["metadata"]["name"])
        try:
            admin.create(definition)
        except Answered as answered:
            if answered.code != 409:
                raise
    return names


@pytest.fixture
def admin(cluster: Cluster) -> Iterator[Admin]:
    """The administrator, in a namespace of its own."""
    namespace = f"signalbox-{uuid.uuid4().hex[:8]}"
    admin = Admin(cluster.kubeconfig, namespace)
    admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    yield admin
    admin.request("DELETE", admin.path("Namespace", namespace))
    admin.close()
