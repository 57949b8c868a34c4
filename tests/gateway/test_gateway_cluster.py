"""The cluster follows the manifests, and tells proxy and pickers in an order that loses no request.

Pods and pickers are real processes; tiny ones, since what they say is other rooms' business.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from tests.gateway.gateway_manifests import MODEL, POOL, SERVER, parse

from signalbox.gateway import local_picker, local_pod
from signalbox.gateway.addresses import Lease
from signalbox.gateway.cluster import Cluster
from signalbox.gateway.desired import Desired, sort_out
from signalbox.gateway.local_picker import LocalPicker
from signalbox.gateway.local_pod import Surroundings, announce_exit
from signalbox.gateway.members import Member
from signalbox.gateway.source_files import PODS_FILE
from signalbox.gateway.supervisor import Command, Exited
from signalbox.resources import Pod
from signalbox.sources import ManifestReader

PATIENCE = 30.0
CONFIG = "{apiVersion: v1, kind: ConfigMap, metadata: {name: adapters}, data: {configmap.yaml: one}}"
SERVE = """
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    connection, _ = listener.accept()
    try:
        if connection.recv(9999):
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    except OSError:
        pass
    connection.close()
"""


class RecordingProxy:
    """Remembers what it was told, and checks that pickers never name a pod it was not told about."""

    def __init__(self) -> None:
        self.told: frozenset[str] = frozenset()
        self.stopped = False
        self.body_router = ""

    async def publish(
        self, desired: Desired, members: Iterable[Member], pickers: Iterable[LocalPicker], body_router: str
    ) -> None:
        self.body_router = body_router
        members = tuple(members)
        ready = frozenset(member.name for member in members if member.ready)
        for picker in pickers:
            named = picker_names(picker)
            assert named <= self.told, "a picker named a pod before the proxy knew it"
            assert named <= ready, "a pod left the proxy before it left the pickers"
        await asyncio.sleep(0)
        self.told = ready

    async def stop(self) -> None:
        self.stopped = True


def picker_names(picker: LocalPicker) -> set[str]:
    resources = ManifestReader([picker.source / PODS_FILE]).read().resources
    return {pod.metadata.name for pod in resources if isinstance(pod, Pod) and pod.ready and not pod.terminating}


class Running:
    """A cluster that runs, and what it says."""

    def __init__(self, cluster: Cluster, proxy: RecordingProxy, lines: "asyncio.Queue[str]", directory: Path) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.directory = directory
        self._lines = lines

    def want(self, *texts: str) -> None:
        self.cluster.want(sort_out(parse("\n---\n".join(texts))))

    async def says(self, *words: str) -> str:
        """Wait for a line with all these words."""
        async with asyncio.timeout(PATIENCE):
            while True:
                line = await self._lines.get()
                if all(word in line for word in words):
                    return line

    async def serving(self, count: int, *, without: str = "\n") -> frozenset[str]:
        """Wait until the proxy knows this many pods, none with ``without`` in its name, and nothing is left to do."""
        async with asyncio.timeout(PATIENCE):
            while not (
                self.cluster.settled
                and len(self.proxy.told) == len(self.cluster.members) == count
                and not any(without in name for name in self.proxy.told)
            ):
                await self._lines.get()
        return self.proxy.told

    def volume(self, pod: str) -> str:
        return (self.directory / "pods" / "default" / pod / "adapters" / "configmap.yaml").read_text()


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Running]:
    lines: asyncio.Queue[str] = asyncio.Queue()
    wake = asyncio.Event()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        around = Surroundings(directory, session, wake.set, lambda *words: lines.put_nowait(" ".join(words)))
        proxy = RecordingProxy()
        cluster = Cluster(around, proxy, wake=wake)

        async def tick() -> None:
            """A line after each step, so that waiting for a state ends soon after it is reached."""
            while True:
                await cluster.step()
                lines.put_nowait("")
                await wake.wait()
                wake.clear()

        task = asyncio.create_task(tick())
        try:
            yield Running(cluster, proxy, lines, directory)
            assert not task.done(), task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})
            await cluster.stop(grace=1.0)
            assert proxy.stopped


@pytest.fixture(autouse=True)
def tiny_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(name: str, lease: Lease, port: int) -> Command:
        return Command(name, (sys.executable, "-I", "-S", "-c", SERVE, lease.host, str(lease.ports[port])))

    def server(name: str, template: object, lease: Lease, speed: float) -> Command:
        return tiny(name, lease, 8000)

    def picker(pool: object, source: Path, lease: Lease, *_: object) -> Command:
        return tiny("picker", lease, local_picker.GRPC_PORT)

    def syncer(pod: str, *_: object) -> Command:
        code = "import sys, signal\n'--once' in sys.argv or signal.pause()"
        return Command(f"{pod}-syncer", (sys.executable, "-I", "-S", "-c", code))

    monkeypatch.setattr(local_pod, "server_command", server)
    monkeypatch.setattr(local_pod, "syncer_command", syncer)
    monkeypatch.setattr(local_picker, "picker_command", picker)
    monkeypatch.setattr("signalbox.gateway.cluster.VOLUME_LAG", 0.05)
    monkeypatch.setattr("signalbox.gateway.cluster.LAST_PICKS", 0.0)


async def test_replicas_are_started_scaled_and_drained(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        run.want(POOL, MODEL, SERVER, CONFIG)
        assert len(await run.serving(2)) == 2
        (picker,) = run.cluster.pickers
        assert picker_names(picker) == run.proxy.told
        run.want(POOL, MODEL, SERVER.replace("replicas: 2", "replicas: 1"), CONFIG)
        await run.serving(1)
        run.want(POOL, MODEL)
        assert await run.serving(0) == frozenset()
        assert picker_names(picker) == set()
        assert run.cluster.pickers == (picker,), "the same picker all the time"


async def test_a_changed_template_replaces_every_pod_without_a_gap(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        run.want(POOL, SERVER, CONFIG)
        before = await run.serving(2)
        revision = next(iter(before)).split("-")[1]
        run.want(POOL, SERVER.replace("value: m}", "value: n}"), CONFIG)
        after = await run.serving(2, without=revision)
        assert not before & after


async def test_a_pod_waits_for_its_config_map_and_follows_it(tmp_path: Path) -> None:
    one = SERVER.replace("replicas: 2", "replicas: 1")
    async with running(tmp_path) as run:
        run.want(POOL, one)
        await run.says("waits for ConfigMap adapters (volume adapters)")
        assert not run.cluster.settled
        run.want(POOL, one, CONFIG)
        (name,) = await run.serving(1)
        assert run.volume(name) == "one"
        run.want(POOL, one, CONFIG.replace("one", "two"), MODEL)
        await run.says("volume", name)
        assert run.volume(name) == "two"


async def test_a_pod_that_dies_leaves_and_comes_back(tmp_path: Path) -> None:
    one = SERVER.replace("replicas: 2", "replicas: 1")
    async with running(tmp_path) as run:
        run.want(POOL, one, CONFIG)
        (name,) = await run.serving(1)
        pod = run.cluster._pods["default", name]
        pod._server.restart()
        await run.says(name, "ended with signal SIGKILL; starting it again")
        await run.says(name, "ready")
        assert await run.serving(1) == {name}
        assert run.cluster.members[0].restarts == 1


async def test_a_pool_that_goes_takes_its_picker_along(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        run.want(POOL)
        await run.serving(0)
        assert len(run.cluster.pickers) == 1
        run.want(MODEL)
        await run.says("picker", "stopping: its pool is gone")
        assert not run.cluster.pickers


async def test_a_changed_configuration_reaches_the_running_picker_and_a_first_one_a_new_picker(tmp_path: Path) -> None:
    def configured(text: str) -> Desired:
        desired = sort_out(parse(POOL))
        return replace(desired, configurations={desired.pools[0].key: text})

    async with running(tmp_path) as run:
        run.want(POOL)
        await run.serving(0)
        (plain,) = run.cluster.pickers
        assert not plain.configuration.exists()
        run.cluster.want(configured("one"))
        await run.says("picker", "stopping: its settings changed")
        await run.says("picker", "starting with an EndpointPickerConfig")
        (picker,) = run.cluster.pickers
        assert picker.configuration.read_text() == "one"
        run.cluster.want(configured("two"))
        await run.says("picker", "takes up its changed configuration")
        assert picker.configuration.read_text() == "two"
        assert run.cluster.pickers == (picker,), "the same picker, which reads the file again"


async def test_a_pod_on_a_port_its_pool_does_not_use_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as run:
        run.want(POOL.replace("8000", "9000"), SERVER)
        assert "listens on 8000, but InferencePool default/pool sends to 9000" in await run.says("make them agree")


async def test_a_pod_whose_syncer_does_not_get_through_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "2026-01-31 12:00:00 - INFO - loop.py:1 -  model server localhost:9 is not healthy"
    code = f"import signal; print({line!r}, flush=True); signal.pause()"

    def stuck(pod: str, *_: object) -> Command:
        return Command(f"{pod}-syncer", (sys.executable, "-I", "-S", "-c", code))

    monkeypatch.setattr(local_pod, "syncer_command", stuck)
    monkeypatch.setattr(local_pod, "SYNC_PATIENCE", 0.5)
    async with running(tmp_path) as run:
        run.want(POOL, SERVER.replace("replicas: 2", "replicas: 1"), CONFIG)
        told = await run.says("not ready: its syncer")
        assert "-syncer is not through its configuration: " in told
        (member,) = run.cluster.members
        assert not member.ready
        assert member.note in told


def test_an_end_is_told_with_its_words_and_the_same_end_again_without(tmp_path: Path) -> None:
    lines: list[str] = []
    around = Surroundings(
        tmp_path, cast("aiohttp.ClientSession", None), lambda: None, lambda *line: lines.append(line[1])
    )
    announce_exit(around, "pod", Exited("p", 1, ("why",), 0.25))
    announce_exit(around, "pod", Exited("p", 1, ("why",), 0.5, repeated=True))
    announce_exit(around, "pod", Exited("p", 2, ("what",), 60.0))
    announce_exit(around, "pod", Exited("p", 2, ("what",), 60.0, repeated=True))
    assert lines == [
        "p ended with exit status 1; starting it again in 0.25 s",
        "  why",
        "p ended with exit status 1; starting it again in 0.5 s",
        "p ended with exit status 2, wrong arguments; starting it again in 60 s",
        "  what",
    ]
