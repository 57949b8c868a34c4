"""A pool that follows an API server over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.cluster.fake_api import connected, status

from signalbox.cluster import Phase
from signalbox.pool import Pool
from signalbox.sources.kubernetes import KubernetesSource

PODS = "/api/v1/namespaces/ns/pods"
STABLE = "/apis/inference.networking.k8s.io/v1/namespaces/ns/inferencepools"
EXPERIMENTAL = "/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/ns"
LLM_D = "/apis/llm-d.ai/v1alpha2/namespaces/ns"


@dataclass
class FakeCluster:
    """Collections by path; what is put while a watch stands is told to it. Paths in ``refusing`` answer that code."""

    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    refusing: dict[str, int] = field(default_factory=dict)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    """Lists of these paths wait for the event."""
    watches: list[tuple[web.Request, web.StreamResponse]] = field(default_factory=list)
    version: int = 1

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        path, selector = request.path, request.query.get("labelSelector", "")
        if path in self.held and "watch" not in request.query:
            await self.held[path].wait()
        if path in self.refusing:
            return status(self.refusing[path], "refused")
        if "watch" in request.query:
            answer = web.StreamResponse()
            await answer.prepare(request)
            self.watches.append((request, answer))
            await asyncio.Event().wait()
        items = [found for found in self.objects[path].values() if _selected(found, selector)]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def put(self, path: str, name: str, **content: Any) -> None:
        """Create or replace an object."""
        self.version += 1
        labels = content.pop("labels", {})
        meta = {"name": name, "namespace": "ns", "resourceVersion": str(self.version), "labels": labels}
        self.objects[path][name] = {"metadata": meta} | content
        await self._tell(path, "MODIFIED", self.objects[path][name])

    async def delete(self, path: str, name: str) -> None:
        """Delete one."""
        self.version += 1
        await self._tell(path, "DELETED", self.objects[path].pop(name))

    async def _tell(self, path: str, kind: str, found: dict[str, Any]) -> None:
        for request, answer in self.watches:
            if request.path == path and _selected(found, request.query.get("labelSelector", "")):
                with contextlib.suppress(ConnectionError):
                    await answer.write(json.dumps({"type": kind, "object": found}).encode() + b"\n")

    async def pool(self, app: str = "llm", port: int = 8000) -> None:
        """The pool, selecting ``app``."""
        selector = {"matchLabels": {"app": app}}
        reference = {"name": "e", "port": {"number": 9002}}
        spec = {"selector": selector, "targetPorts": [{"number": port}], "endpointPickerRef": reference}
        await self.put(STABLE, "pool", spec=spec)

    async def pod(self, name: str, ip: str, app: str = "llm") -> None:
        """A ready pod."""
        ready = {"podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]}
        await self.put(PODS, name, labels={"app": app}, status=ready)


def _selected(found: dict[str, Any], selector: str) -> bool:
    labels = found["metadata"]["labels"]
    return all(labels.get(pair.split("=")[0]) == pair.split("=")[1] for pair in selector.split(",") if pair)


class Following:
    """A pool that follows a cluster, and how often it was told something."""

    def __init__(self, pool: Pool, source: KubernetesSource) -> None:
        self.pool = pool
        self.source = source
        self.told = 0
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        async for _ in self.source.changes():
            self.told += 1
            self._woken.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - phases change without the pool being told anything
                await asyncio.sleep(0.01)

    @property
    def addresses(self) -> list[str]:
        """Where the endpoints are."""
        return sorted(endpoint.address for endpoint in self.pool.endpoints)


@asynccontextmanager
async def following(directory: Path, cluster: FakeCluster, **options: Any) -> AsyncIterator[Following]:
    """Follow ``cluster`` until the block ends."""
    pool = Pool("pool", "ns")
    async with connected(directory, cluster) as (api, _):
        found = Following(pool, KubernetesSource(api, pool, absent_seconds=0.05, **options))
        task = asyncio.create_task(found.run())
        try:
            yield found
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_nothing_is_known_before_everything_was_read(tmp_path: Path) -> None:
    models = f"{EXPERIMENTAL}/inferencemodels"
    cluster = FakeCluster(held={models: asyncio.Event()})
    await cluster.pool()
    await cluster.pod("a", "10.0.0.1")
    await cluster.put(models, "m", spec={"modelName": "food", "poolRef": {"name": "pool"}})
    async with following(tmp_path, cluster) as found:
        await found.until(lambda: sum(state.phase is Phase.FOLLOWED for state in found.source.state()) == 7)
        assert not found.source.synced
        assert found.pool.spec is None
        cluster.held[models].set()
        await found.until(lambda: found.addresses == ["10.0.0.1:8000"])
        assert found.source.synced
        assert found.pool.catalogue.names == ("food",)


async def test_changes_are_followed_and_handed_on_in_batches(tmp_path: Path) -> None:
    cluster = FakeCluster()
    await cluster.pool()
    async with following(tmp_path, cluster) as found:
        await found.until(lambda: found.pool.spec is not None)
        await found.until(lambda: found.source.stale_seconds() == 0 and _followed(found, "pods"))
        before = found.told
        for number in range(200):
            await cluster.pod(f"pod-{number}", f"10.0.0.{number + 1}")
        await found.until(lambda: len(found.addresses) == 200)
        assert found.told - before < 100
        await cluster.delete(PODS, "pod-0")
        await found.until(lambda: len(found.addresses) == 199)


async def test_a_new_selector_is_taken_up_with_its_pods_and_the_old_pods_are_let_go(tmp_path: Path) -> None:
    cluster = FakeCluster()
    await cluster.pool("old")
    await cluster.pod("a", "10.0.0.1", "old")
    await cluster.pod("b", "10.0.0.2", "new")
    async with following(tmp_path, cluster) as found:
        await found.until(lambda: found.addresses == ["10.0.0.1:8000"])
        cluster.held[PODS] = asyncio.Event()
        await found.until(lambda: _followed(found, "inferencepools.inference.networking.k8s.io"))
        await cluster.pool("new", 9000)
        await found.until(lambda: sum(state.resource == "pods" for state in found.source.state()) == 2)
        assert found.addresses == ["10.0.0.1:8000"]
        cluster.held[PODS].set()
        await found.until(lambda: found.addresses == ["10.0.0.2:9000"])
        await found.until(lambda: sum(state.resource == "pods" for state in found.source.state()) == 1)


async def test_kinds_that_are_missing_or_forbidden_do_not_keep_it_waiting_and_may_come(tmp_path: Path) -> None:
    objectives = f"{LLM_D}/inferenceobjectives"
    cluster = FakeCluster(refusing={objectives: 404, f"{EXPERIMENTAL}/inferencemodels": 403})
    await cluster.pool()
    async with following(tmp_path, cluster) as found:
        await found.until(lambda: found.pool.spec is not None)
        assert any("inferencemodels" in told and "refused" in told for told in found.source.problems)
        del cluster.refusing[objectives]
        await cluster.put(objectives, "o", spec={"priority": 4, "poolRef": {"name": "pool"}})
        await found.until(lambda: found.pool.catalogue.priority_of("o") == 4)


async def test_without_permission_for_pods_the_pool_stays_unknown(tmp_path: Path) -> None:
    cluster = FakeCluster(refusing={PODS: 403})
    await cluster.pool()
    await cluster.pod("a", "10.0.0.1")
    async with following(tmp_path, cluster) as found:
        await found.until(lambda: any("pods cannot be followed" in told for told in found.source.problems))
        assert found.pool.spec is None
        assert not found.source.synced
        del cluster.refusing[PODS]
        await found.until(lambda: found.addresses == ["10.0.0.1:8000"])


BOOKMARK = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"resourceVersion": "598", "creationTimestamp": None},
    "spec": {"containers": None},
    "status": {},
}


async def test_bookmarks_break_no_watch(tmp_path: Path) -> None:
    cluster = FakeCluster()
    await cluster.pool()
    await cluster.pod("a", "10.0.0.1")
    async with following(tmp_path, cluster) as found:
        await found.until(lambda: all(state.phase is Phase.FOLLOWED for state in found.source.state()))
        await found.until(lambda: found.addresses == ["10.0.0.1:8000"] and len(cluster.watches) == 8)
        for _, answer in cluster.watches:
            await answer.write(json.dumps({"type": "BOOKMARK", "object": BOOKMARK}).encode() + b"\n")
        await cluster.pod("b", "10.0.0.2")
        await found.until(lambda: len(found.addresses) == 2)
        assert {(state.phase, state.lists, state.problem) for state in found.source.state()} == {
            (Phase.FOLLOWED, 1, "")
        }
        assert len(cluster.watches) == 8


async def test_an_empty_selector_selects_nothing_and_asks_for_nothing(tmp_path: Path) -> None:
    cluster = FakeCluster()
    await cluster.pod("a", "10.0.0.1")
    spec = {"selector": {}, "targetPortNumber": 8000, "extensionRef": {"name": "e"}}
    await cluster.put(f"{EXPERIMENTAL}/inferencepools", "pool", spec=spec)
    async with following(tmp_path, cluster) as found:
        await found.until(lambda: found.source.synced and found.pool.spec is not None)
        assert found.addresses == []
        assert "pods" not in {state.resource for state in found.source.state()}


async def test_an_empty_cluster_is_known_to_be_empty(tmp_path: Path) -> None:
    async with following(tmp_path, FakeCluster()) as found:
        await found.until(lambda: found.source.synced)
        assert found.pool.spec is None


async def test_only_the_group_asked_for_is_looked_at(tmp_path: Path) -> None:
    cluster = FakeCluster()
    await cluster.pool()
    async with following(tmp_path, cluster, group="inference.networking.x-k8s.io") as found:
        await found.until(lambda: found.source.synced)
        assert found.pool.spec is None


async def test_a_mistake_in_a_follower_ends_the_following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    await cluster.pool()
    pool = Pool("pool", "ns")
    async with connected(tmp_path, cluster) as (api, _):
        source = KubernetesSource(api, pool)

        def mistake(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(source._assembly, "policies_changed", mistake)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(Following(pool, source).run(), 10)


def _followed(found: Following, resource: str) -> bool:
    return any(state.resource == resource and state.phase is Phase.FOLLOWED for state in found.source.state())
