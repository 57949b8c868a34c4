"""Where the files of one Envoy lie below its directory."""

from __future__ import annotations

from pathlib import Path

from signalbox.gateway.envoy.model import Json

LISTENERS = Path("xds/listeners/listeners.json")
CLUSTERS = Path("xds/clusters/clusters.json")
ROUTES = Path("xds/routes")
ENDPOINTS = Path("xds/endpoints")
STAGING = Path("xds/staging")
BOOTSTRAP = Path("bootstrap.json")
ADMIN_ADDRESS = Path("admin-address.txt")
LOG = Path("envoy.log")
ACCESS_LOG = Path("access.log")


def route_file(name: str) -> Path:
    """The file of one route configuration. Envoy's subscription takes one resource from a file, not one of several."""
    return ROUTES / f"{_file_name(name)}.json"


def endpoint_file(cluster: str) -> Path:
    """The file of one cluster's endpoints."""
    return ENDPOINTS / f"{_file_name(cluster)}.json"


def source(directory: Path, file: Path) -> Json:
    """A ConfigSource that reads ``file`` again whenever something is renamed into the directory it lies in."""
    path = directory / file
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}},
    }


def _file_name(resource: str) -> str:
    # Kubernetes names never hold an underscore, so no two resources share a file.
    return resource.replace("/", "_")
