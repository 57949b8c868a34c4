"""Passes over time, with a real file and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import pytest

from signalbox.adapters.backoff import Backoff
from signalbox.adapters.config import SyncConfig
from signalbox.adapters.config_file import ConfigFile
from signalbox.adapters.loop import SyncLoop, Timing
from signalbox.adapters.metrics import SyncMetrics
from signalbox.adapters.reconcile import Reconciler
from signalbox.adapters.server_api import ServerAPI

if TYPE_CHECKING:
    from tests.adapters.conftest import FakeVLLM

LONG = 300.0
"""A period no test waits for: what happens happens for another reason."""
Start = Callable[..., contextlib.AbstractAsyncContextManager[SyncLoop]]


class Mount:
    """A ConfigMap as a kubelet mounts it: files are links through ``..data``, which an update swaps."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "configmap.yaml"
        self._versions = 0

    def write(self, text: str) -> None:
        self._versions += 1
        version = self.directory / f"..2026_{self._versions}"
        version.mkdir()
        (version / "configmap.yaml").write_text(text)
        fresh = self.directory / "..data_tmp"
        fresh.symlink_to(version.name)
        os.replace(fresh, self.directory / "..data")
        if not self.file.is_symlink():
            self.file.symlink_to("..data/configmap.yaml")


def adapters(*ids: str, absent: tuple[str, ...] = (), source: str = "org/v1") -> str:
    def block(names: tuple[str, ...]) -> str:
        return "".join(f"\n    - {{id: {name}, source: {source}}}" for name in names) or " []"

    return f"""vLLMLoRAConfig:
  ensureExist:
    models:{block(ids)}
  ensureNotExist:
    models:{block(absent)}
"""


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    return Mount(tmp_path)


@pytest.fixture
def start(vllm: FakeVLLM, mount: Mount) -> Start:
    @contextlib.asynccontextmanager
    async def running(period: float = LONG, timing: Timing | None = None) -> AsyncIterator[SyncLoop]:
        async with aiohttp.ClientSession() as session:

            def connect(config: SyncConfig) -> ServerAPI:
                vllm.seek([adapter.id for adapter in config.ensure_exist.models])
                return ServerAPI(session, config.server, vllm.address, request_timeout=5.0)

            metrics, backoff = SyncMetrics(), Backoff(Random(3), first=0.02)
            loop = SyncLoop(
                ConfigFile(mount.file),
                connect,
                Reconciler(metrics, backoff, str(mount.file)),
                backoff,
                metrics,
                timing or Timing(period=period),
            )
            task = asyncio.create_task(loop.run())
            try:
                yield loop
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    return running


async def test_a_swapped_configmap_is_applied_at_once(vllm: FakeVLLM, mount: Mount, start: Start) -> None:
    mount.write(adapters("one"))
    async with start():
        await vllm.until(lambda: set(vllm.adapters) == {"one"})
        mount.write(adapters("one", "two"))
        await vllm.until(lambda: set(vllm.adapters) == {"one", "two"})
        mount.write(adapters("two", absent=("one",)))
        await vllm.until(lambda: set(vllm.adapters) == {"two"})
        mount.write(adapters("two", source="org/v2"))
        await vllm.until(lambda: vllm.adapters == {"two": "org/v2"})


async def test_a_bad_file_changes_nothing_until_it_is_good_again(
    vllm: FakeVLLM, mount: Mount, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    mount.write(adapters("one"))
    async with start(period=0.02):
        await vllm.until(lambda: set(vllm.adapters) == {"one"})
        mount.write(adapters("one", "two").replace("source", "sauce"))
        vllm.adapters.clear()
        await vllm.until(lambda: vllm.loads.count("one") == 2)
        mount.file.unlink()
        vllm.adapters.clear()
        await vllm.until(lambda: vllm.loads.count("one") == 3)
        mount.write(adapters("one", "two"))
        await vllm.until(lambda: set(vllm.adapters) == {"one", "two"})
    refused = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len([m for m in refused if m.endswith("models[0].source: missing; give the adapter's path or hub id")]) == 1
    assert len([m for m in refused if "cannot be read: No such file or directory" in m]) == 1
    assert refused.count("configuration refused: the last good configuration stays in force") == 2


@pytest.mark.parametrize("directory", ["here", "not here yet"])
async def test_a_file_may_come_later_than_the_syncer(
    vllm: FakeVLLM, mount: Mount, start: Start, directory: str, caplog: pytest.LogCaptureFixture
) -> None:
    mount.directory.rename(mount.directory.with_name("elsewhere"))
    if directory == "here":
        mount.directory.mkdir()
    async with start(period=0.02):
        async with asyncio.timeout(10):
            while "nothing is loaded or unloaded" not in caplog.text:  # noqa: ASYNC110 - a log line sets no event
                await asyncio.sleep(0)
        mount.directory.mkdir(exist_ok=True)
        mount.write(adapters("one"))
        await vllm.until(lambda: set(vllm.adapters) == {"one"})


async def test_a_restarted_server_is_healed_by_the_next_period(vllm: FakeVLLM, mount: Mount, start: Start) -> None:
    mount.write(adapters("one"))
    async with start(period=0.02):
        await vllm.until(lambda: set(vllm.adapters) == {"one"})
        await vllm.stop()
        vllm.adapters.clear()
        await vllm.start()
        await vllm.until(lambda: set(vllm.adapters) == {"one"})


async def test_a_server_that_is_down_is_waited_for_and_a_change_meanwhile_counts(
    vllm: FakeVLLM, mount: Mount, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "signalbox.adapters")
    vllm.healthy = False
    mount.write(adapters("one"))
    async with start(timing=Timing(health_timeout=LONG, health_interval=0.01, period=LONG)):
        await vllm.until(lambda: vllm.health_checks >= 3)
        mount.write(adapters("two"))
        await vllm.until(lambda: vllm.sought == [["one"], ["two"]])
        vllm.healthy = True
        await vllm.until(lambda: bool(vllm.adapters))
    assert vllm.loads == ["two"]
    waits = [m for m in caplog.messages if "is not healthy, waiting up to 300s" in m]
    assert len(waits) == 1


async def test_a_server_that_stays_down_is_reported_and_tried_again(
    vllm: FakeVLLM, mount: Mount, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    vllm.healthy = False
    mount.write(adapters("one"))
    async with start(timing=Timing(health_timeout=0.02, health_interval=0.01, period=0.01)):
        await vllm.until(lambda: "not healthy" in caplog.text)
        assert not vllm.calls
        vllm.healthy = True
        await vllm.until(lambda: "one" in vllm.adapters)


async def test_triggers_during_a_pass_become_one_more_pass(vllm: FakeVLLM, mount: Mount, start: Start) -> None:
    mount.write(adapters("one", "obsolete"))
    vllm.gate.clear()
    async with start() as loop:
        await vllm.until(lambda: vllm.loads == ["one"])
        mount.write(adapters("one", "two"))
        for _ in range(5):
            loop.changed.set()
            await asyncio.sleep(0)
        assert vllm.listed == 1
        vllm.gate.set()
        await vllm.until(lambda: set(vllm.adapters) == {"one", "two"})
    assert vllm.loads == ["one", "two"]
    assert vllm.listed == 2


async def test_a_file_that_is_touched_but_not_changed_causes_no_pass(
    vllm: FakeVLLM, mount: Mount, start: Start
) -> None:
    mount.write(adapters("one"))
    async with start() as loop:
        await vllm.until(lambda: set(vllm.adapters) == {"one"})
        mount.write(adapters("one"))
        loop.changed.set()
        while loop.changed.is_set():  # noqa: ASYNC110 - the loop clears it once it has looked at the file
            await asyncio.sleep(0)
        mount.write(adapters("two"))
        await vllm.until(lambda: "two" in vllm.adapters)
    assert vllm.listed == 2


async def test_a_failed_adapter_is_retried_before_the_period_is_over(
    vllm: FakeVLLM, mount: Mount, start: Start
) -> None:
    vllm.broken.add("org/v1")
    mount.write(adapters("one"))
    async with start():
        await vllm.until(lambda: len(vllm.loads) >= 3)
        vllm.broken.clear()
        await vllm.until(lambda: "one" in vllm.adapters)


async def test_stopping_in_the_middle_of_a_request_does_not_wait_for_it(
    vllm: FakeVLLM, mount: Mount, start: Start
) -> None:
    vllm.gate.clear()
    mount.write(adapters("one"))
    async with asyncio.timeout(5), start():
        await vllm.until(lambda: vllm.loads == ["one"])
    assert not vllm.adapters
