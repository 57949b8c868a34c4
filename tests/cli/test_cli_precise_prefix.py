"""`signalbox epp` with the reference's configuration for precise prefixes, word for word, before two simulated servers
that publish their cache events: it knows what they cache, whoever put it there."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from tests.cli.dialogue import body, destination, opening, stream
from tests.cli.pickers import Running, channel_to, running_picker
from tests.e2e.running import free_port

from signalbox.cli.precise_page import precise_lines
from signalbox.director import PreciseTracker
from signalbox.modelserver import ModelServer, parse_options

CANONICAL = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: token-producer
  parameters:
    modelName: m
    vllm:
      url: "http://127.0.0.1:RENDER"
- type: endpoint-notification-source
- type: precise-prefix-cache-producer
  parameters:
    tokenProcessorConfig:
      blockSizeTokens: 16
    speculativeIndexing: SPECULATIVE
    indexerConfig:
      kvBlockIndexConfig:
        enableMetrics: true
    kvEventsConfig:
      topicFilter: "kv@"
      concurrency: 32
      discoverPods: true
      podDiscoveryConfig:
        socketPort: 5557
- type: inflight-load-producer
  parameters:
    prefixMatchInfoProducerName: precise-prefix-cache-producer
- type: active-request-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
  parameters:
    prefixMatchInfoProducerName: precise-prefix-cache-producer
- type: no-hit-lru-scorer
  parameters:
    prefixMatchInfoProducerName: precise-prefix-cache-producer
dataLayer:
  sources:
  - pluginRef: endpoint-notification-source
    extractors:
    - pluginRef: precise-prefix-cache-producer
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: active-request-scorer, weight: 4}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 2}
  - {pluginRef: no-hit-lru-scorer, weight: 2}
"""
HOSTS = ("127.0.0.2", "127.0.0.3")


class Site:
    """Two servers and a picker in this process, and a client that talks to either side."""

    def __init__(self, stack: AsyncExitStack, directory: Path) -> None:
        self.stack = stack
        self.directory = directory
        self.port = free_port()
        self.render_port = free_port()
        self.events = [free_port() for _ in HOSTS]
        self.replays = [free_port() for _ in HOSTS]
        self.servers: list[ModelServer] = []
        self.picker: Running
        self.session: aiohttp.ClientSession
        self.replaying = False

    async def start_server(self, number: int, *flags: str) -> ModelServer:
        config = {
            "enable_kv_cache_events": True,
            "publisher": "zmq",
            "endpoint": f"tcp://*:{self.events[number]}",
            "replay_endpoint": f"tcp://*:{self.replays[number]}",
            "topic": f"kv@{HOSTS[number]}:{self.port}@m",
        }
        options = parse_options(["--model", "m", "--speed", "1000", "--kv-events-config", json.dumps(config), *flags])
        server = ModelServer(options)
        await server.start(HOSTS[number], self.port)
        self.stack.push_async_callback(server.close)
        return server

    def write_pool(self, present: tuple[int, ...] = (0, 1)) -> None:
        documents: list[dict[str, Any]] = [
            {
                "apiVersion": "inference.networking.k8s.io/v1",
                "kind": "InferencePool",
                "metadata": {"name": "pool"},
                "spec": {
                    "selector": {"matchLabels": {"app": "llm"}},
                    "targetPorts": [{"number": self.port}],
                    "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
                },
            }
        ]
        for number in present:
            labels = {"app": "llm", "signalbox.dev/kv-events-port": str(self.events[number])}
            if self.replaying:
                labels["signalbox.dev/kv-events-replay-port"] = str(self.replays[number])
            documents.append(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": f"pod-{number}", "labels": labels},
                    "status": {"podIP": HOSTS[number], "conditions": [{"type": "Ready", "status": "True"}]},
                }
            )
        self.directory.mkdir(exist_ok=True)
        draft = self.directory / ".draft"
        draft.write_text(yaml.safe_dump_all(documents))
        draft.rename(self.directory / "pool.yaml")

    @property
    def tracker(self) -> PreciseTracker:
        prefix = self.picker.picker.director.rules.prefix
        assert isinstance(prefix, PreciseTracker)
        return prefix

    def reported(self, number: int) -> int:
        """Blocks that the picker knows of a server."""
        endpoint = self.picker.pool.at(f"{HOSTS[number]}:{self.port}")
        return 0 if endpoint is None else self.tracker.index.reported(endpoint.row)

    def holds(self, number: int) -> bool:
        return self.reported(number) > 0

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - events come when they come
                await asyncio.sleep(0.005)

    async def connected(self) -> None:
        """Wait until the events of both servers come."""

        def all_are() -> bool:
            figures = self.picker.picker.kv_events.figures()
            return len(figures) == len(HOSTS) and all(found.connected for found in figures.values())

        await self.until(all_are)

    async def ask_server(self, number: int, prompt: str) -> None:
        """Behind the picker's back."""
        url = f"http://{HOSTS[number]}:{self.port}/v1/completions"
        async with self.session.post(url, json={"model": "m", "prompt": prompt, "max_tokens": 1}) as response:
            assert response.status == 200

    async def pick(self, prompt: str | list[int], path: str = "/v1/completions", **fields: Any) -> str:
        """Where the picker sends a request: the host of its first choice."""
        request = {"model": "m", "max_tokens": 1, **({"prompt": prompt} if prompt else {}), **fields}
        async with channel_to(self.picker.address) as channel:
            call = stream(channel)()
            await call.write(_opening(path))
            await call.write(body(json.dumps(request).encode()))
            async with asyncio.timeout(20):
                first = await call.read()
            assert first.WhichOneof("response") == "request_headers", first
            call.cancel()
        await self.picker.settled()
        return destination([first]).partition(":")[0]


@asynccontextmanager
async def site(
    tmp_path: Path,
    *flags: str,
    config: str = CANONICAL,
    render: bool = True,
    speculative: bool = False,
    replaying: bool = False,
) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        here = Site(stack, tmp_path / "pool")
        here.replaying = replaying
        here.session = await stack.enter_async_context(aiohttp.ClientSession())
        here.servers = [await here.start_server(number, *flags) for number in range(len(HOSTS))]
        if render:
            service = ModelServer(parse_options(["--model", "m"]))
            await service.start("127.0.0.1", here.render_port)
            stack.push_async_callback(service.close)
        text = config.replace("RENDER", str(here.render_port)).replace("SPECULATIVE", str(speculative).lower())
        (tmp_path / "precise.yaml").write_text(text)
        here.write_pool()
        running = running_picker(
            here.directory, "--config-file", str(tmp_path / "precise.yaml"), "--secure-serving=false"
        )
        here.picker = await stack.enter_async_context(running)
        yield here


def words(name: str, count: int = 200) -> str:
    """A prompt of about so many tokens."""
    return " ".join(f"{name}{number}" for number in range(count // 2))


async def test_a_prompt_goes_where_it_was_computed_behind_the_pickers_back(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.connected()
        for number, host in enumerate(HOSTS):
            prompt = words(f"p{number}")
            await here.ask_server(number, prompt)
            await here.until(partial(here.holds, number))
            assert {await here.pick(prompt) for _ in range(4)} == {host}
        assert here.tracker.figures.hits == 8
        assert here.tracker.figures.estimated == 0


async def test_a_conversation_is_known_by_its_rendered_tokens(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.connected()
        messages = [{"role": "user", "content": words("chat")}]
        url = f"http://{HOSTS[1]}:{here.port}/v1/chat/completions"
        async with here.session.post(url, json={"model": "m", "messages": messages, "max_tokens": 1}) as response:
            assert response.status == 200
        await here.until(lambda: here.reported(1) > 0)
        more = [*messages, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "and then"}]
        assert {await here.pick("", "/v1/chat/completions", messages=more) for _ in range(4)} == {HOSTS[1]}


async def test_what_a_server_evicts_is_not_believed_any_more(tmp_path: Path) -> None:
    flags = ("--num-gpu-blocks-override", "64", "--max-model-len", "1024")
    async with site(tmp_path, *flags) as here:
        await here.connected()
        prompt = words("first", 400)
        await here.ask_server(1, prompt)
        await here.until(lambda: here.reported(1) > 0)
        assert await here.pick(prompt) == HOSTS[1]
        removed = here.tracker.index.tally
        for number in range(8):
            await here.ask_server(1, words(f"other{number}", 400))
        await here.until(lambda: removed.removed > 60)
        await here.until(lambda: here.tracker.index.reported(_row(here, 1)) <= 64)
        hits = here.tracker.figures.hits
        await here.pick(prompt)
        assert here.tracker.figures.hits == hits


async def test_a_server_that_starts_anew_holds_nothing(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.connected()
        prompt = words("gone")
        await here.ask_server(0, prompt)
        await here.until(lambda: here.reported(0) > 0)
        await here.servers[0].close()
        await here.until(lambda: here.reported(0) == 0)
        await here.start_server(0)
        await here.connected()
        await here.ask_server(0, words("new"))
        await here.until(lambda: here.reported(0) > 0)
        assert {await here.pick(words("new")) for _ in range(3)} == {HOSTS[0]}


async def test_an_endpoint_that_leaves_is_forgotten_at_once(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.connected()
        await here.ask_server(1, words("left"))
        await here.until(lambda: here.tracker.index.entries > 0)
        here.write_pool((0,))
        await here.until(lambda: here.tracker.index.entries == 0)
        assert list(here.picker.picker.kv_events.figures()) == ["pod-0"]
        here.write_pool()
        await here.connected()


async def test_with_a_replay_socket_what_was_cached_before_the_picker_came_is_known(tmp_path: Path) -> None:
    async with site(tmp_path, replaying=True) as here:
        await here.connected()
        early = words("early")
        await here.ask_server(1, early)
        await here.until(lambda: here.reported(1) > 0)
        here.write_pool((0,))
        await here.until(lambda: here.reported(1) == 0)
        here.write_pool()
        await here.connected()
        await here.until(lambda: here.reported(1) > 0)
        assert here.picker.picker.kv_events.figures()["pod-1"].replays == 1
        before = here.reported(1)
        await here.ask_server(1, words("late"))
        await here.until(lambda: here.reported(1) > before)
        assert {await here.pick(early) for _ in range(3)} == {HOSTS[1]}


async def test_speculation_keeps_equal_prompts_together_before_any_event(tmp_path: Path) -> None:
    async with site(tmp_path, speculative=True) as here:
        await here.connected()
        # Nobody computes the prompt, so no events come; the request is held open, or it would be given back.
        prompt = {"model": "m", "prompt": words("twice"), "max_tokens": 1}
        async with channel_to(here.picker.address) as channel:
            call = stream(channel)()
            await call.write(opening("FULL_DUPLEX_STREAMED", "NONE"))
            await call.write(body(json.dumps(prompt).encode()))
            await call.read()
            second = stream(channel)()
            await second.write(opening("FULL_DUPLEX_STREAMED", "NONE"))
            await second.write(body(json.dumps(prompt).encode()))
            await second.read()
            assert (here.tracker.figures.lookups, here.tracker.figures.hits) == (2, 1)
            second.cancel()
            call.cancel()
        await here.picker.settled()
        assert len(here.tracker.index.speculation) == 0


async def test_requests_go_on_without_a_token_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with site(tmp_path, render=False) as here:
        await here.connected()
        assert {await here.pick(words(f"any{number}")) for number in range(6)} <= set(HOSTS)
        assert here.tracker.figures.estimated == 6
        assert here.picker.picker.tokens.outages == [f"127.0.0.1:{here.render_port}"]
        told = [record for record in caplog.records if "does not tell any" in record.getMessage()]
        assert len(told) == 1
        service = ModelServer(parse_options(["--model", "m"]))
        await service.start("127.0.0.1", here.render_port)
        here.stack.push_async_callback(service.close)
        while here.tracker.figures.lookups == 0:
            await here.pick(words("again"))
        assert here.picker.picker.tokens.outages == []


async def test_the_pools_own_servers_can_tell_token_ids(tmp_path: Path) -> None:
    config = CANONICAL.replace(
        '    modelName: m\n    vllm:\n      url: "http://127.0.0.1:RENDER"\n', "    backend: tokenize\n"
    )
    async with site(tmp_path, config=config, render=False) as here:
        await here.connected()
        await here.ask_server(1, words("own"))
        await here.until(lambda: here.reported(1) > 0)
        assert {await here.pick(words("own")) for _ in range(4)} == {HOSTS[1]}
        figures = here.picker.picker.tokens.figures
        assert (figures.asked, figures.remembered) == (1, 3)


async def test_status_and_metrics_tell_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    async with site(tmp_path, render=False) as here:
        await here.connected()
        await here.ask_server(0, words("shown"))
        await here.until(partial(here.holds, 0))
        await here.servers[1].close()
        await here.until(lambda: not here.picker.picker.kv_events.figures()["pod-1"].connected)
        await here.pick(words("shown"))
        base = f"http://127.0.0.1:{here.picker.picker.metrics_port}"
        async with here.session.get(f"{base}/debug/pool") as response:
            page = (await response.json())["precise_prefix"]
        said = "\n".join(precise_lines(page))
        assert "1 prompts looked up: 0 found, 1 by estimate" in said
        assert f"127.0.0.1:{here.render_port} tells no token ids" in said
        assert "no events from pod-1; start their servers with --kv-events-config" in said
        async with here.session.get(f"{base}/metrics") as response:
            metrics = await response.text()
        assert "signalbox_kv_events_connected 1.0" in metrics
        assert "signalbox_token_outages 1.0" in metrics
        assert 'signalbox_token_questions_total{outcome="failed"} 1.0' in metrics
        assert f"signalbox_precise_prefix_blocks {here.reported(0)}.0" in metrics
        assert f"llm_d_epp_kv_cache_index_admissions_total {here.reported(0)}.0" in metrics


def test_status_tells_what_was_left_out() -> None:
    tally = {"stored": 9, "removed": 1, "cleared": 0, "orphaned": 3, "unaligned": 2, "overflowed": 1}
    page = {
        "reported": 9,
        "memory_bytes": 1e6,
        "asked": {"lookups": 2, "hits": 1, "estimated": 0},
        "tally": tally,
        "tokens": {"from": "http://r", "asked": 1, "remembered": 1, "failed": 0, "skipped": 0},
        "outages": [],
        "trouble": "kvEventsConfig.zmqEndpoint tcp://*:1: in use; choose another",
        "unattributed": 4,
        "endpoints": {f"pod-{number}": {"connected": False, "malformed": 1} for number in range(7)},
    }
    said = precise_lines(page)
    for line in (
        "kvEventsConfig.zmqEndpoint tcp://*:1: in use; choose another",
        "no events from pod-0, pod-1, pod-2, pod-3, pod-4 and 2 more; start their servers with --kv-events-config",
        "4 messages of sources that are no endpoint",
        "3 blocks left out since their beginning was missed; set replaySocketPort",
        "2 blocks left out since their size does not fit blockSizeTokens; set that to the engines' own",
        "1 blocks left out since the index is full",
        "7 messages could not be taken in",
    ):
        assert line in said


async def test_token_ids_that_the_client_sends_are_not_asked_for(tmp_path: Path) -> None:
    async with site(tmp_path, render=False) as here:
        await here.connected()
        ids = list(range(100, 180))
        url = f"http://{HOSTS[0]}:{here.port}/v1/completions"
        async with here.session.post(url, json={"model": "m", "prompt": ids, "max_tokens": 1}) as response:
            assert response.status == 200
        await here.until(lambda: here.reported(0) > 0)
        assert {await here.pick(ids) for _ in range(3)} == {HOSTS[0]}
        assert here.picker.picker.tokens.figures.asked == 0


def _opening(path: str) -> Any:
    extra: dict[str, Any] = {":path": path}
    return opening("FULL_DUPLEX_STREAMED", "NONE", **extra)


def _row(here: Site, number: int) -> int:
    endpoint = here.picker.pool.at(f"{HOSTS[number]}:{here.port}")
    assert endpoint is not None
    return endpoint.row


def test_loopback_has_more_than_one_address() -> None:
    for host in HOSTS:
        with socket.socket() as probe:
            probe.bind((host, 0))
