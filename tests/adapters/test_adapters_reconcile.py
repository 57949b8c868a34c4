"""One pass against a server."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import pytest
from prometheus_client import generate_latest

from signalbox.adapters.backoff import Backoff
from signalbox.adapters.config import SyncConfig
from signalbox.adapters.metrics import SyncMetrics
from signalbox.adapters.reconcile import Reconciler, Result
from signalbox.adapters.server_api import ServerAPI

if TYPE_CHECKING:
    from tests.adapters.conftest import FakeVLLM

Sources = Mapping[str, str]


class Syncer:
    """A reconciler at a server, on a clock a test moves."""

    def __init__(self, vllm: FakeVLLM, session: aiohttp.ClientSession) -> None:
        self.now = 0.0
        self.metrics = SyncMetrics()
        self.api = ServerAPI(session, vllm.address, request_timeout=0.5)
        self.reconciler = Reconciler(self.metrics, Backoff(Random(7)), "/config/c.yaml", clock=lambda: self.now)

    async def sync(self, exist: Sources | None = None, absent: Sources | None = None, base: str = "") -> Result:
        def block(sources: Sources | None) -> dict[str, object]:
            return {"models": [{"id": id, "source": source} for id, source in (sources or {}).items()]}

        content = {"ensureExist": block(exist), "ensureNotExist": block(absent), "defaultBaseModel": base}
        return await self.reconciler.reconcile(SyncConfig.model_validate(content), self.api)

    def status(self) -> dict[str, float]:
        samples = [sample for family in self.metrics.registry.collect() for sample in family.samples]
        return {s.labels["adapter_name"]: s.value for s in samples if s.name == "lora_syncer_adapter_status"}

    def errors(self) -> dict[tuple[str, str], float]:
        samples = [sample for family in self.metrics.registry.collect() for sample in family.samples]
        return {
            (s.labels["adapter_name"], s.labels["operation"]): s.value
            for s in samples
            if s.name == "lora_syncer_adapter_errors_total"
        }


@pytest.fixture
async def syncer(vllm: FakeVLLM) -> AsyncIterator[Syncer]:
    async with aiohttp.ClientSession() as session:
        yield Syncer(vllm, session)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """INFO and above: what a user sees."""
    caplog.set_level(logging.INFO, "signalbox.adapters")
    return caplog


async def test_the_reference_s_case(vllm: FakeVLLM, syncer: Syncer, said: pytest.LogCaptureFixture) -> None:
    vllm.adapters = {"already_exists": "s", "to_remove": "s"}
    result = await syncer.sync(
        {"sql-lora-v1": "path/1", "sql-lora-v3": "s", "already_exists": "s"},
        {"sql-lora-v2": "s", "sql-lora-v3": "s", "to_remove": "s"},
        base="meta",
    )
    assert result is Result.OK
    assert vllm.calls == [
        ("load", {"lora_name": "sql-lora-v1", "lora_path": "path/1", "base_model_name": "meta"}),
        ("unload", {"lora_name": "to_remove"}),
    ]
    assert said.messages == [
        f"reconciling model server {vllm.address} with config stored at /config/c.yaml",
        "skipped adapters found in both `ensureExist` and `ensureNotExist` sql-lora-v3",
        "adapter to load sql-lora-v1",
        f"already_exists already present on model server {vllm.address}",
        "adapters to unload to_remove",
        f"sql-lora-v2 already doesn't exist on model server {vllm.address}",
        "loaded model sql-lora-v1",
        "unloaded model to_remove",
    ]
    assert syncer.status() == {"sql-lora-v1": 1, "already_exists": 1, "sql-lora-v2": 0, "to_remove": 0}


async def test_a_pass_with_nothing_new_says_nothing(
    vllm: FakeVLLM, syncer: Syncer, said: pytest.LogCaptureFixture
) -> None:
    vllm.adapters = {"b": "s", "c": "s"}
    assert await syncer.sync({"a": "s", "b": "s"}, {"c": "s"}) is Result.OK
    said.clear()
    for _ in range(3):
        assert await syncer.sync({"a": "s", "b": "s"}, {"c": "s"}) is Result.OK
    assert not said.messages
    assert len(vllm.calls) == 2


async def test_a_restarted_server_gets_its_adapters_back(vllm: FakeVLLM, syncer: Syncer) -> None:
    await syncer.sync({"a": "s", "b": "t"})
    vllm.adapters.clear()
    assert await syncer.sync({"a": "s", "b": "t"}) is Result.OK
    assert vllm.adapters == {"a": "s", "b": "t"}


@pytest.mark.parametrize("resolves", [False, True])
async def test_a_changed_source_is_applied_once(vllm: FakeVLLM, syncer: Syncer, resolves: bool) -> None:
    vllm.resolves_roots = resolves
    await syncer.sync({"a": "org/v1"})
    await syncer.sync({"a": "org/v1"})
    for _ in range(3):
        assert await syncer.sync({"a": "org/v2"}) is Result.OK
    assert [path for path, _ in vllm.calls] == ["load", "unload", "load"]
    assert vllm.adapters == {"a": "org/v2"}


async def test_a_new_source_that_cannot_be_loaded_shows_and_is_tried_again(vllm: FakeVLLM, syncer: Syncer) -> None:
    await syncer.sync({"a": "org/v1"})
    vllm.broken.add("org/v2")
    assert await syncer.sync({"a": "org/v2"}) is Result.FAILED
    assert syncer.status() == {"a": 0}
    vllm.broken.clear()
    syncer.now += 60
    assert await syncer.sync({"a": "org/v2"}) is Result.OK
    assert vllm.adapters == {"a": "org/v2"}
    assert syncer.status() == {"a": 1}


async def test_a_failing_adapter_stops_nobody_and_waits_longer_each_time(
    vllm: FakeVLLM, syncer: Syncer, said: pytest.LogCaptureFixture
) -> None:
    vllm.broken.add("bad")
    assert await syncer.sync({"a": "bad", "b": "good"}) is Result.FAILED
    assert syncer.status() == {"a": 0, "b": 1}
    assert any(m.startswith("error loading model a: status 404: Loading lora a failed") for m in said.messages)
    said.clear()
    assert await syncer.sync({"a": "bad", "b": "good"}) is Result.FAILED
    assert vllm.loads == ["a", "b"]
    assert not said.messages
    attempts = []
    for _ in range(200):
        syncer.now += 0.5
        before = len(vllm.calls)
        await syncer.sync({"a": "bad", "b": "good"})
        if len(vllm.calls) > before:
            attempts.append(syncer.now)
    gaps = [later - earlier for earlier, later in pairwise(attempts)]
    assert 4 <= len(attempts) <= 9
    assert gaps == sorted(gaps)
    assert syncer.errors() == {("a", "load"): len(attempts) + 1}


async def test_a_corrected_source_does_not_wait(vllm: FakeVLLM, syncer: Syncer) -> None:
    vllm.broken.add("tpyo")
    await syncer.sync({"a": "tpyo"})
    assert await syncer.sync({"a": "typo"}) is Result.OK
    assert vllm.adapters == {"a": "typo"}


async def test_what_the_listing_does_not_show_yet_counts_as_loaded(
    vllm: FakeVLLM, syncer: Syncer, said: pytest.LogCaptureFixture
) -> None:
    vllm.adapters = {"a": "s"}
    vllm.garbage = '{"object":"list","data":[]}'
    assert await syncer.sync({"a": "s"}) is Result.OK
    assert syncer.status() == {"a": 1}
    assert f"a already present on model server {vllm.address}" in said.messages


async def test_what_is_gone_when_it_should_be_unloaded_counts_as_unloaded(vllm: FakeVLLM, syncer: Syncer) -> None:
    vllm.garbage = '{"data":[{"id":"a","parent":"base"}]}'
    assert await syncer.sync({}, {"a": "s"}) is Result.OK
    assert vllm.unloads == ["a"]
    assert syncer.status() == {"a": 0}


async def test_no_listing_no_work_and_one_line_about_it(
    vllm: FakeVLLM, syncer: Syncer, said: pytest.LogCaptureFixture
) -> None:
    vllm.adapters = {"old": "s"}
    vllm.garbage = "<html>"
    for _ in range(3):
        assert await syncer.sync({"a": "s"}, {"old": "s"}) is Result.FAILED
    assert not vllm.calls
    assert len(said.messages) == 1
    vllm.garbage = None
    assert await syncer.sync({"a": "s"}, {"old": "s"}) is Result.OK
    assert vllm.adapters == {"a": "s"}


async def test_a_base_model_is_left_alone_and_said(
    vllm: FakeVLLM, syncer: Syncer, said: pytest.LogCaptureFixture
) -> None:
    base = "meta-llama/Llama-3.1-8B-Instruct"
    assert await syncer.sync({}, {base: "s"}) is Result.FAILED
    assert not vllm.calls
    assert any(base in message and "base model" in message for message in said.messages)


async def test_adapters_of_others_stay(vllm: FakeVLLM, syncer: Syncer) -> None:
    vllm.adapters = {"theirs": "s"}
    assert await syncer.sync({"ours": "s"}) is Result.OK
    assert vllm.adapters == {"theirs": "s", "ours": "s"}


async def test_a_load_that_takes_too_long_is_found_done_later(vllm: FakeVLLM, syncer: Syncer) -> None:
    vllm.gate.clear()
    assert await syncer.sync({"a": "s"}) is Result.FAILED
    assert syncer.errors() == {("a", "load"): 1}
    vllm.gate.set()
    vllm.adapters["a"] = "s"
    assert await syncer.sync({"a": "s"}) is Result.OK
    assert vllm.loads == ["a"]


async def test_an_adapter_that_leaves_the_configuration_leaves_the_gauge(vllm: FakeVLLM, syncer: Syncer) -> None:
    await syncer.sync({"a": "s", "b": "s"})
    await syncer.sync({"b": "s"})
    assert syncer.status() == {"b": 1}
    assert 'lora_syncer_adapter_status{adapter_name="b"} 1.0' in generate_latest(syncer.metrics.registry).decode()
    assert set(vllm.adapters) == {"a", "b"}


async def test_a_pass_that_is_superseded_ends_before_its_next_request(vllm: FakeVLLM, syncer: Syncer) -> None:
    config = SyncConfig.model_validate({"ensureExist": {"models": [{"id": id, "source": "s"} for id in "abc"]}})
    result = await syncer.reconciler.reconcile(config, syncer.api, superseded=lambda: len(vllm.calls) == 2)
    assert result is Result.SUPERSEDED
    assert vllm.loads == ["a", "b"]
