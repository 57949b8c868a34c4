"""The files Envoy watches: whole at every moment, additions before removals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from signalbox.gateway.envoy import EnvoyConfig, EnvoyFiles
from signalbox.gateway.envoy.files import written_versions


def config(*names: str, routes: str = "r", endpoints: int = 1, port: int = 1) -> EnvoyConfig:
    """One cluster for each name, with that many endpoints, and a route configuration that points to ``routes``."""
    return EnvoyConfig(
        listeners=({"name": f"port-{port}"},),
        clusters=tuple({"name": f"service/{name}"} for name in names),
        routes=({"name": "port-1", "to": routes},),
        endpoints=tuple({"cluster_name": f"service/{name}", "endpoints": [endpoints]} for name in names),
    )


def names(directory: Path) -> list[str]:
    """The clusters in the file."""
    content = json.loads((directory / "xds/clusters/clusters.json").read_text())
    return [cluster["name"].removeprefix("service/") for cluster in content["resources"]]


def target(directory: Path) -> Any:
    """Where the routes in the file point to."""
    return json.loads((directory / "xds/routes/port-1.json").read_text())["resources"][0]["to"]


def test_the_bootstrap_points_to_the_directory_and_to_a_free_admin_port(tmp_path: Path) -> None:
    EnvoyFiles(tmp_path)
    bootstrap = json.loads((tmp_path / "bootstrap.json").read_text())
    assert bootstrap["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 0}
    source = bootstrap["dynamic_resources"]["cds_config"]["path_config_source"]
    assert Path(source["path"]).parent == Path(source["watched_directory"]["path"]) == tmp_path / "xds/clusters"


def test_a_change_comes_in_three_stages_so_that_no_route_points_to_a_missing_cluster(tmp_path: Path) -> None:
    files = EnvoyFiles(tmp_path)
    files.write(config("a", routes="a"))
    seen = [(names(tmp_path), target(tmp_path)) for _ in files.stages(config("b", routes="b"))]
    assert seen == [(["a", "b"], "a"), (["a", "b"], "b"), (["b"], "b")]


def test_a_listener_leaves_only_after_the_new_one_is_there(tmp_path: Path) -> None:
    files = EnvoyFiles(tmp_path)
    files.write(config("a"))
    file = tmp_path / "xds/listeners/listeners.json"
    seen = [
        [listener["name"] for listener in json.loads(file.read_text())["resources"]]
        for _ in files.stages(config("a", port=2))
    ]
    assert seen == [["port-1", "port-2"], ["port-2"]]


def test_only_what_changed_is_written_and_each_file_tells_its_version(tmp_path: Path) -> None:
    files = EnvoyFiles(tmp_path)
    first = files.write(config("a", "b"))
    before = written_versions(tmp_path)
    assert set(before) == {
        "listener_manager.lds.version_text",
        "cluster_manager.cds.version_text",
        "http.port-1.rds.port-1.version_text",
        "cluster.service/a.version_text",
        "cluster.service/b.version_text",
    }
    assert files.write(config("a", "b")) == first
    assert written_versions(tmp_path) == before

    second = files.write(config("a", "b", endpoints=2))
    changed = {name for name, version in written_versions(tmp_path).items() if version != before[name]}
    assert changed == {"cluster.service/a.version_text", "cluster.service/b.version_text"}
    assert second > first


def test_files_of_what_is_gone_go_before_the_last_stage_is_told(tmp_path: Path) -> None:
    files = EnvoyFiles(tmp_path)
    files.write(config("a", "b"))
    expected = [True, False]
    for _, present in zip(files.stages(config("b", routes="b")), expected, strict=True):
        assert ("cluster.service/a.version_text" in written_versions(tmp_path)) is present


def test_a_new_object_starts_afresh(tmp_path: Path) -> None:
    EnvoyFiles(tmp_path).write(config("a"))
    EnvoyFiles(tmp_path)
    assert written_versions(tmp_path) == {}


def test_a_stage_that_is_abandoned_leaves_the_last_full_configuration_known(tmp_path: Path) -> None:
    files = EnvoyFiles(tmp_path)
    good = config("a", routes="a")
    files.write(good)
    next(files.stages(config("b", routes="b")))
    assert files.current == good
    files.write(good)
    assert (names(tmp_path), target(tmp_path)) == (["a"], "a")


@pytest.mark.parametrize("file", ["xds/clusters/clusters.json", "xds/routes/port-1.json"])
def test_a_file_is_replaced_by_a_rename(tmp_path: Path, file: str) -> None:
    files = EnvoyFiles(tmp_path)
    files.write(config("a", routes="a"))
    with (tmp_path / file).open() as opened:
        files.write(config("b", routes="b"))
        assert json.load(opened) != json.loads((tmp_path / file).read_text())
