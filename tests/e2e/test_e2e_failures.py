"""Servers and pickers that die under load, replicas that come and go: what the clients notice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import aiohttp
import pytest
from tests.e2e.manifests import GATEWAY, deployment, model, pool, route, together
from tests.e2e.running import Load, Up, running_up, save

pytestmark = pytest.mark.e2e


def write(tmp_path: Path, *documents: str) -> Path:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "all.yaml").write_text(together(*documents))
    return manifests


async def first_events(up: Up, count: int) -> tuple[aiohttp.ClientResponse, str]:
    """Begin a streamed answer, read ``count`` events, and return it with the address of the server it comes from."""
    body = {"model": "base", "prompt": "Tell me a long story", "max_tokens": 5000, "ignore_eos": True, "stream": True}
    response = await up.session.post(f"http://127.0.0.1:{up.port}/v1/completions", json=body)
    assert response.status == 200
    for _ in range(count):
        assert (await response.content.readuntil(b"\n\n")).startswith(b"data: ")
    for address in up.servers():
        async with up.session.get(f"http://{address}/metrics") as metrics:
            lines = (await metrics.text()).splitlines()
        running = [line for line in lines if line.startswith("vllm:num_requests_running")]
        if running and float(running[0].rpartition(" ")[2]) > 0:
            return response, address
    raise AssertionError("no server runs the request")


async def test_a_server_killed_in_mid_stream_breaks_its_answers_and_traffic_moves_on(tmp_path: Path) -> None:
    manifests = write(tmp_path, deployment(3), pool(), GATEWAY, route("llm"))
    async with running_up(tmp_path / "state", str(manifests)) as up:
        streamed, address = await first_events(up, 3)
        seen = len(up.lines)
        os.kill(up.servers()[address], signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await streamed.read()
        # From the very next request on: a connection that cannot be made is tried on the next endpoint.
        answers = await asyncio.gather(*[up.ask("base") for _ in range(300)])
        assert {answer.status for answer in answers} == {200}
        await up.printed(rf"{address} ready", after=seen)
        answers = await asyncio.gather(*[up.ask("base") for _ in range(30)])
        assert {answer.status for answer in answers} == {200}


async def test_a_client_that_goes_away_frees_its_server_and_the_pickers_count(tmp_path: Path) -> None:
    manifests = write(tmp_path, deployment(1), pool(), GATEWAY, route("llm"))
    async with running_up(tmp_path / "state", str(manifests)) as up:
        streamed, address = await first_events(up, 3)
        assert await in_flight(up) == 1
        streamed.close()

        async def nothing_in_flight() -> bool:
            async with up.session.get(f"http://{address}/metrics") as metrics:
                aborted = 'finished_reason="abort"' in await metrics.text()
            return aborted and await in_flight(up) == 0

        await up.until(nothing_in_flight)


async def in_flight(up: Up) -> float:
    async with up.session.get(f"http://{up.picker_metrics()}/debug/pool") as response:
        document = json.loads(await response.read())
    return float(sum(endpoint["in_flight"] for endpoint in document["endpoints"]))


async def kill_picker(up: Up) -> None:
    """Kill the picker and wait until the supervisor has brought it back."""
    seen = len(up.lines)
    (pid,) = up.processes("epp")
    os.kill(pid, signal.SIGKILL)
    await up.printed(r"picker .* ready", after=seen)


async def test_fail_open_loses_no_request_while_the_picker_is_gone(tmp_path: Path) -> None:
    manifests = write(tmp_path, deployment(2), pool("FailOpen"), GATEWAY, route("llm"))
    async with running_up(tmp_path / "state", str(manifests), "--speed", "20") as up, Load(up, model="base") as load:
        for _ in range(3):
            await load.more(300)
            await kill_picker(up)
        await load.more(300)
    assert load.failures == []


async def test_fail_close_answers_503_while_the_picker_is_gone_and_recovers(tmp_path: Path) -> None:
    manifests = write(tmp_path, deployment(2), pool("FailClose"), GATEWAY, route("llm"))
    async with running_up(tmp_path / "state", str(manifests), "--speed", "20") as up:
        async with Load(up, model="base") as load:
            await load.more(300)
            await kill_picker(up)
            await load.more(300)
        assert set(load.statuses) == {200, 503}
        assert "picker" in load.failures[0]

        async def recovered() -> bool:
            return (await up.ask("base")).status == 200

        await up.until(recovered)
        answers = await asyncio.gather(*[up.ask("base") for _ in range(200)])
        assert {answer.status for answer in answers} == {200}


async def test_scaling_up_and_down_under_load_loses_nothing(tmp_path: Path) -> None:
    manifests = write(tmp_path, deployment(2), pool(), GATEWAY, route("llm"))
    path = manifests / "all.yaml"
    async with running_up(tmp_path / "state", str(manifests), "--speed", "20") as up, Load(up, model="base") as load:
        await load.more(300)
        save(path, together(deployment(4), pool(), GATEWAY, route("llm")))
        await up.pods_are_ready(4)
        await load.more(300)
        assert len(up.processes("modelserver")) == 4
        save(path, together(deployment(1), pool(), GATEWAY, route("llm")))

        async def one_left() -> bool:
            return len(up.processes("modelserver")) == 1

        await up.until(one_left)
        await load.more(300)
    assert load.failures == []


async def test_route_changes_and_a_second_pool_under_load_lose_nothing(tmp_path: Path) -> None:
    manifests = write(tmp_path, deployment(1), pool(), GATEWAY, route("llm"))
    second = manifests / "second.yaml"
    async with running_up(tmp_path / "state", str(manifests), "--speed", "20") as up, Load(up, model="base") as load:
        await load.more(200)
        seen = len(up.lines)
        save(second, together(deployment(1, name="other"), pool(name="other")))
        await up.printed(r"picker\s+other .*ready", after=seen)
        await up.printed(r"pod\s+other-.*ready", after=seen)
        (other,) = [address for name, address in up.ready_pods().items() if name.startswith("other-")]
        save(manifests / "all.yaml", together(deployment(1), pool(), GATEWAY, route("llm", "other")))

        async def both_serve() -> bool:
            return await served_by(up, other) > 0

        await up.until(both_serve)
        await load.more(200)
        save(manifests / "all.yaml", together(deployment(1), pool(), GATEWAY, route("llm")))
        await load.more(500)
        second.unlink()

        async def one_picker() -> bool:
            return len(up.processes("epp")) == 1

        await up.until(one_picker)
        await load.more(200)
    assert load.failures == []


async def served_by(up: Up, address: str) -> float:
    """How many requests a server has finished."""
    async with up.session.get(f"http://{address}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:request_success_total{"))


async def test_sheddable_requests_are_refused_when_the_servers_are_full_and_others_are_not(tmp_path: Path) -> None:
    manifests = write(
        tmp_path,
        deployment(1, "--max-num-seqs", "1"),
        pool(),
        GATEWAY,
        route("llm"),
        model("batch", "Sheddable"),
        model("chat", "Critical"),
        model("plain", "Standard"),
    )
    async with running_up(tmp_path / "state", str(manifests)) as up:
        # Each of these keeps the only slot busy for a second or so: seven of them wait.
        slow = [asyncio.create_task(up.ask("chat", max_tokens=100, ignore_eos=True)) for _ in range(8)]

        async def refused() -> bool:
            return (await up.ask("batch")).status == 429

        await up.until(refused)
        answer = await up.ask("batch")
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert "sheddable" in answer.json["error"]["message"]
        others = await asyncio.gather(*slow, up.ask("plain"), up.ask("chat"))
        assert {answer.status for answer in others} == {200}
