"""Requests wait in the picker behind a real Envoy: nobody is lost, nobody is sent before there is room."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from tests.e2e.manifests import GATEWAY, deployment, pool, route, together
from tests.e2e.running import Answer, Up, running_up, save

pytestmark = pytest.mark.e2e

OBJECTIVES = """
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: urgent}
spec: {priority: 100, poolRef: {name: llm}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: batch}
spec: {priority: -10, poolRef: {name: llm}}
"""
LONG = 100_000
"""Tokens of an answer that does not end while a test looks."""


def configuration(most: int, ttl: str = "60s") -> str:
    return f"""\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- {{type: queue-scorer}}
- {{type: round-robin-fairness-policy}}
- {{type: concurrency-detector, parameters: {{maxConcurrency: {most}}}}}
schedulingProfiles: [{{name: default, plugins: [{{pluginRef: queue-scorer}}]}}]
flowControl:
  defaultRequestTTL: {ttl}
  saturationDetector: {{pluginRef: concurrency-detector}}
  defaultPriorityBand: {{fairnessPolicyRef: round-robin-fairness-policy}}
"""


class Gate:
    """A pool behind flow control."""

    def __init__(self, directory: Path, replicas: int, most: int, ttl: str = "60s") -> None:
        self.manifests = directory / "manifests"
        self.manifests.mkdir()
        self.configuration = directory / "epp.yaml"
        self.configuration.write_text(configuration(most, ttl))
        self.scale(replicas)
        self.arguments = (str(self.manifests), "--config-file", str(self.configuration))

    def scale(self, replicas: int) -> None:
        text = together(deployment(replicas, "--max-model-len", "200000"), pool(), GATEWAY, route("llm"), OBJECTIVES)
        save(self.manifests / "all.yaml", text)


async def ask(up: Up, tokens: int = 2, **headers: str) -> Answer:
    body = f'{{"model": "base", "prompt": "x", "max_tokens": {tokens}, "ignore_eos": true}}'
    return await up.send("POST", "/v1/completions", body.encode(), **headers)


async def waiting(up: Up) -> int:
    async with up.session.get(f"http://{up.picker_metrics()}/metrics") as response:
        page = await response.text()
    sizes = re.findall(r"^llm_d_epp_flow_control_queue_size\{.*\} (\S+)$", page, re.MULTILINE)
    return int(sum(map(float, sizes)))


async def _busy(up: Up) -> bool:
    return sum(await loads(up)) > 0


async def wait_for(up: Up, count: int) -> None:
    async def so_many() -> bool:
        return await waiting(up) == count

    await up.until(so_many)


async def loads(up: Up) -> list[int]:
    """Requests at each server, by its own word."""
    found = []
    for address in up.servers():
        async with up.session.get(f"http://{address}/metrics") as response:
            page = await response.text()
        counts = re.findall(r"^vllm:num_requests_(?:running|waiting)\{.*\} (\S+)$", page, re.MULTILINE)
        found.append(int(sum(map(float, counts))))
    return found


async def blocker(up: Up) -> asyncio.Task[Answer]:
    """A request that keeps the only place of a pool until it is cancelled."""
    task = asyncio.create_task(ask(up, LONG))

    async def there() -> bool:
        return sum(await loads(up)) == 1

    await up.until(there)
    return task


async def cancel(task: asyncio.Task[Answer]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_two_hundred_at_once_are_served_and_no_server_has_more_than_it_may(tmp_path: Path) -> None:
    gate = Gate(tmp_path, replicas=2, most=4)
    async with running_up(tmp_path / "state", *gate.arguments, "--speed", "4", connections=300) as up:
        await up.pods_are_ready(2)
        requests = [asyncio.create_task(ask(up, 20)) for _ in range(200)]
        peak = waited = 0
        while not all(request.done() for request in requests):
            # The pool has eight places; which server they are at is the scheduler's choice.
            peak, waited = max(peak, sum(await loads(up))), max(waited, await waiting(up))
            await asyncio.sleep(0.02)
        assert Counter(request.result().status for request in requests) == {200: 200}
        assert 4 < peak <= 8
        assert waited > 100
        await wait_for(up, 0)


async def test_who_matters_more_overtakes_and_clients_take_turns(tmp_path: Path) -> None:
    gate = Gate(tmp_path, replicas=1, most=1)
    async with running_up(tmp_path / "state", *gate.arguments) as up:
        await up.pods_are_ready(1)
        first = await blocker(up)
        order: list[str] = []

        async def one(name: str, headers: dict[str, str]) -> None:
            assert (await ask(up, 2, **headers)).status == 200
            order.append(name)

        tasks = []
        for number, (name, objective) in enumerate(
            [("low", "batch"), *[("a", "")] * 4, *[("b", "")] * 2, ("high", "urgent")], 1
        ):
            headers = {"x-llm-d-inference-fairness-id": name}
            if objective:
                headers["x-llm-d-inference-objective"] = objective
            tasks.append(asyncio.create_task(one(name, headers)))
            await wait_for(up, number)
        await cancel(first)
        await asyncio.gather(*tasks)
        assert (order[0], order[-1]) == ("high", "low")
        assert "".join(order[1:-1]) in ("ababaa", "babaaa")


async def test_time_runs_out_and_a_client_that_leaves_frees_its_place(tmp_path: Path) -> None:
    gate = Gate(tmp_path, replicas=1, most=1, ttl="2s")
    async with running_up(tmp_path / "state", *gate.arguments) as up:
        await up.pods_are_ready(1)
        first = await blocker(up)
        refused = await ask(up)
        assert refused.status == 429
        assert refused.headers["x-llm-d-request-dropped-reason"] == "rejected-ttl-expired"
        assert refused.headers["retry-after"] == "1"
        assert refused.json["error"]["code"] == "queue_timeout"
        # Under a new configuration there is all the time in the world; the picker takes it up while requests run.
        save(gate.configuration, configuration(1, "1h"))
        await up.printed("takes up its changed configuration")
        patient = asyncio.create_task(ask(up))
        await wait_for(up, 1)
        await cancel(patient)
        await wait_for(up, 0)
        patient = asyncio.create_task(ask(up))
        await wait_for(up, 1)
        save(gate.configuration, configuration(2, "1h"))  # which makes room at once
        assert (await patient).status == 200
        assert not first.done()
        await cancel(first)


async def test_requests_wait_for_the_first_server(tmp_path: Path) -> None:
    gate = Gate(tmp_path, replicas=0, most=8)
    async with running_up(tmp_path / "state", *gate.arguments) as up:
        requests = [asyncio.create_task(ask(up)) for _ in range(5)]
        await wait_for(up, 5)
        gate.scale(1)
        assert [answer.status for answer in await asyncio.gather(*requests)] == [200] * 5


async def test_those_who_wait_outlive_their_only_server(tmp_path: Path) -> None:
    gate = Gate(tmp_path, replicas=1, most=1)
    async with running_up(tmp_path / "state", *gate.arguments) as up:
        await up.pods_are_ready(1)
        sent = asyncio.create_task(ask(up, LONG))
        await up.until(lambda: _busy(up))
        requests = [asyncio.create_task(ask(up)) for _ in range(8)]
        await wait_for(up, 8)
        (server,) = up.servers().values()
        os.kill(server, signal.SIGKILL)
        assert (await sent).status == 503
        assert [answer.status for answer in await asyncio.gather(*requests)] == [200] * 8


async def test_a_picker_that_is_asked_to_stop_still_gives_those_who_wait_their_turn(tmp_path: Path) -> None:
    gate = Gate(tmp_path, replicas=1, most=1)
    async with running_up(tmp_path / "state", *gate.arguments) as up:
        await up.pods_are_ready(1)
        first = await blocker(up)
        requests = [asyncio.create_task(ask(up)) for _ in range(5)]
        await wait_for(up, 5)
        (picker,) = up.processes("epp")
        log = next((up.state / "logs").glob("epp-*.log"))
        os.kill(picker, signal.SIGTERM)

        async def draining() -> bool:
            return "draining" in log.read_text()

        await up.until(draining)
        await cancel(first)
        answers = await asyncio.gather(*requests)
        assert [answer.status for answer in answers] == [200] * 5


async def test_a_wait_is_longer_than_any_timeout_of_the_gateway(tmp_path: Path) -> None:
    """Envoy gives a picker 0.2 s and a route 15 s unless told otherwise."""
    gate = Gate(tmp_path, replicas=1, most=1)
    async with running_up(tmp_path / "state", *gate.arguments) as up:
        await up.pods_are_ready(1)
        first = await blocker(up)
        patient = asyncio.create_task(ask(up))
        done, _ = await asyncio.wait({patient}, timeout=16)
        assert not done
        await cancel(first)
        assert (await patient).status == 200


def evicting(gate: Gate) -> None:
    text = gate.configuration.read_text()
    gate.configuration.write_text(text.replace("flowControl:\n", "flowControl:\n  enableEviction: true\n"))


async def test_sheddable_work_is_taken_back_from_its_server_for_who_matters_more(tmp_path: Path) -> None:
    gate = Gate(tmp_path, replicas=1, most=1)
    evicting(gate)
    async with running_up(tmp_path / "state", *gate.arguments) as up:
        await up.pods_are_ready(1)
        batch = asyncio.create_task(ask(up, LONG, **{"x-llm-d-inference-objective": "batch"}))

        async def there() -> bool:
            return sum(await loads(up)) == 1

        await up.until(there)
        urgent = await ask(up, 2, **{"x-llm-d-inference-objective": "urgent"})
        assert urgent.status == 200
        taken = await batch
        assert taken.status == 429
        assert taken.headers["x-llm-d-request-dropped-reason"] == "evicted-priority"
        assert taken.headers["retry-after"] == "1"
        assert taken.json["error"]["code"] == "evicted"
        await wait_for(up, 0)
        async with up.session.get(f"http://{up.picker_metrics()}/metrics") as response:
            page = await response.text()
        labels = 'inference_pool="llm",outcome="EvictedPriority",priority="-10"'
        assert f"llm_d_epp_flow_control_requests_total{{{labels}}} 1.0" in page


async def test_a_sheddable_stream_that_has_begun_is_broken_off(tmp_path: Path) -> None:
    gate = Gate(tmp_path, replicas=1, most=1)
    evicting(gate)
    async with running_up(tmp_path / "state", *gate.arguments) as up:
        await up.pods_are_ready(1)
        body = f'{{"model": "base", "prompt": "x", "max_tokens": {LONG}, "ignore_eos": true, "stream": true}}'
        sent = {"content-type": "application/json", "x-llm-d-inference-objective": "batch"}
        url = f"http://127.0.0.1:{up.port}/v1/completions"
        async with up.session.post(url, data=body, headers=sent) as stream:
            assert stream.status == 200
            await stream.content.readline()
            assert (await ask(up, 2, **{"x-llm-d-inference-objective": "urgent"})).status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await stream.read()

        async def idle() -> bool:
            return sum(await loads(up)) == 0

        await up.until(idle)
        await wait_for(up, 0)
