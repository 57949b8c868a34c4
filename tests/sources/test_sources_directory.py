"""A pool that follows a directory."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from signalbox.pool import Pool
from signalbox.sources import DirectorySource

POOL = """
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: p}
spec: {targetPortNumber: 8000, selector: {app: x}, extensionRef: {name: e}}
"""
POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: x}}
status: {podIP: ADDRESS, conditions: [{type: Ready, status: "True"}]}
"""
MODEL = """
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: NAME}
spec: {modelName: MODEL, poolRef: {name: p}}
"""


def pod(name: str, address: str) -> str:
    return POD.replace("NAME", name).replace("ADDRESS", address)


def model(name: str, model_name: str) -> str:
    return MODEL.replace("NAME", name).replace("MODEL", model_name)


def replace(path: Path, text: str) -> None:
    """Save as editors and kubelets do: write elsewhere, then rename."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.rename(path)


def test_one_load_brings_everything_of_this_pool(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POOL + pod("pod-0", "10.0.0.1") + model("m", "food"))
    (tmp_path / "b.yaml").write_text(
        POOL.replace("name: p}", "name: other}") + model("theirs", "x").replace("{name: p}", "{name: other}")
    )
    pool = Pool("p")
    DirectorySource(tmp_path, pool).load()
    assert [endpoint.address for endpoint in pool.endpoints] == ["10.0.0.1:8000"]
    assert pool.catalogue.names == ("food",)


def test_objectives_and_rewrites_work_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        """
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: batch}
spec: {priority: -2, poolRef: {name: p}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {name: r}
spec:
  poolRef: {name: p}
  rules:
  - matches: [{model: {value: old}}]
    targets: [{modelRewrite: new, weight: 1}]
"""
    )
    pool = Pool("p")
    DirectorySource(tmp_path, pool).load()
    resolution = pool.catalogue.resolve("old", objective="batch")
    assert resolution is not None
    assert (resolution.target, resolution.priority) == ("new", -2)


def test_what_changes_what_goes_and_what_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(POOL + pod("pod-0", "10.0.0.1") + pod("pod-1", "10.0.0.2") + model("m", "food"))
    pool = Pool("p")
    source = DirectorySource(tmp_path, pool)
    source.load()
    first = pool.endpoints[0]
    replace(path, POOL + pod("pod-0", "10.0.0.1") + pod("pod-2", "10.0.0.3") + model("n", "drinks"))
    source.load()
    assert [endpoint.host for endpoint in pool.endpoints] == ["10.0.0.1", "10.0.0.3"]
    assert pool.endpoints[0] is first
    assert pool.catalogue.names == ("drinks",)
    path.unlink()
    source.load()
    assert not pool.endpoints
    assert pool.spec is None
    assert pool.catalogue.open


def test_a_models_name_cannot_be_edited_but_it_can_be_created_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(POOL + model("m", "food"))
    pool = Pool("p")
    source = DirectorySource(tmp_path, pool)
    source.load()
    replace(path, POOL + model("m", "drinks") + pod("pod-0", "10.0.0.1"))
    for _ in range(2):
        source.load()
        assert pool.catalogue.names == ("food",)
        (told,) = source.problems
        assert (
            "InferenceModel/m spec.modelName: is immutable: it was the string 'food', now it is the string 'drinks'"
            in told
        )
    assert len(pool.endpoints) == 1, "the rest of the file counts"
    replace(path, POOL)
    source.load()
    replace(path, POOL + model("m", "drinks"))
    source.load()
    assert pool.catalogue.names == ("drinks",)
    assert source.problems == ()


def test_a_broken_file_leaves_the_last_good_state_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(POOL + pod("pod-0", "10.0.0.1"))
    pool = Pool("p")
    source = DirectorySource(tmp_path, pool)
    source.load()
    replace(path, POOL.replace("targetPortNumber", "targetPortNumbr"))
    with caplog.at_level(logging.INFO):
        source.load()
        source.load()
    assert [endpoint.host for endpoint in pool.endpoints] == ["10.0.0.1"]
    told = [record.problem for record in caplog.records if record.message == "configuration problem"]  # type: ignore[attr-defined]
    assert len(told) == len(set(told)) >= 1
    assert any("targetPortNumbr" in problem and "targetPortNumber" in problem for problem in told)
    caplog.clear()
    replace(path, POOL)
    with caplog.at_level(logging.INFO):
        source.load()
    assert [record.message for record in caplog.records].count("configuration problem solved") == len(told)
    assert not pool.endpoints


def test_two_models_of_one_name_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.yaml").write_text(POOL + model("first", "food") + model("second", "food"))
    with caplog.at_level(logging.WARNING):
        DirectorySource(tmp_path, Pool("p")).load()
    (record,) = caplog.records
    assert "InferenceModel default/second is not used" in record.problem  # type: ignore[attr-defined]


async def test_a_save_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(POOL)
    pool = Pool("p")
    source = DirectorySource(tmp_path, pool)
    source.load()

    async def follow() -> None:
        async for _ in source.changes():
            if pool.endpoints:
                return

    task = asyncio.create_task(follow())
    async with asyncio.timeout(30):
        # The watch may not stand yet when the first save happens: save until it was seen.
        while not task.done():
            replace(path, POOL + pod("pod-0", "10.0.0.1"))
            await asyncio.wait({task}, timeout=0.2)
    assert [endpoint.host for endpoint in pool.endpoints] == ["10.0.0.1"]


def test_an_emptied_file_keeps_its_objects_and_a_list_without_items_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(POOL + pod("pod-0", "10.0.0.1"))
    pool = Pool("p")
    source = DirectorySource(tmp_path, pool)
    source.load()
    for nothing in ("", "\n---\n", "# a comment\n"):
        path.write_text(nothing)
        source.load()
        assert [endpoint.host for endpoint in pool.endpoints] == ["10.0.0.1"]
    assert "is empty; what it held before stays in force" in caplog.records[-1].problem  # type: ignore[attr-defined]
    path.write_text(POOL + "---\n{apiVersion: v1, kind: List, items: []}\n")
    source.load()
    assert not pool.endpoints
    path.write_text("{apiVersion: v1, kind: List, items: []}")
    source.load()
    assert pool.spec is None
