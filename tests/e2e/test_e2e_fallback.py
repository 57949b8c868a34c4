"""A server dies unnoticed and a fallback takes the request: who hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.e2e.running import ROOT, Up, running_up

pytestmark = pytest.mark.e2e

EXAMPLE = ROOT / "examples" / "scheduling"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
PROMPT = " ".join(map(str, range(400)))
BODY = json.dumps({"model": MODEL, "prompt": PROMPT, "max_tokens": 2}).encode()


async def explain(up: Up, request_id: str) -> Any:
    """The decision about a request, as ``signalbox explain`` tells it."""
    command = (sys.executable, "-m", "signalbox", "explain", request_id, "--json")
    process = await asyncio.create_subprocess_exec(
        *command, "--server", f"http://{up.picker_metrics()}", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    (decision,) = json.loads(said)["decisions"]
    return decision


async def in_flight(up: Up) -> dict[str, float]:
    """Requests in flight by address, as the picker counts them."""
    async with up.session.get(f"http://{up.picker_metrics()}/debug/pool") as response:
        document = json.loads(await response.read())
    return {endpoint["address"]: endpoint["in_flight"] for endpoint in document["endpoints"]}


@contextlib.asynccontextmanager
async def dead_unnoticed(up: Up, address: str) -> AsyncIterator[None]:
    """Kill the server at ``address`` while ``up``, which would take it out of the pool at once, is held still."""
    pid = up.servers()[address]
    os.kill(up.process.pid, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)

        async def refuses() -> bool:
            try:
                _, writer = await asyncio.open_connection(*address.rsplit(":", 1))
            except ConnectionError:
                return True
            writer.close()
            return False

        await up.until(refuses)
        yield
    finally:
        os.kill(up.process.pid, signal.SIGCONT)


async def stream(up: Up, request_id: str) -> aiohttp.ClientResponse:
    """Begin an answer that does not end by itself; return it at its first event."""
    body = {"model": MODEL, "prompt": PROMPT, "max_tokens": 100_000, "ignore_eos": True, "stream": True}
    url, headers = f"http://127.0.0.1:{up.port}/v1/completions", {"x-request-id": request_id}
    response = await up.session.post(url, json=body, headers=headers)
    assert response.status == 200
    assert (await response.content.readuntil(b"\n\n")).startswith(b"data: ")
    return response


async def test_the_picker_hears_that_a_fallback_served_and_moves_the_account(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    shutil.copytree(EXAMPLE, manifests)
    async with running_up(tmp_path / "state", str(manifests), "--speed", "50") as up:
        for attempt in range(10):
            first, second = f"first-{attempt}", f"second-{attempt}"
            # Whose prefix cache this warms is who is asked again.
            assert (await up.send("POST", "/v1/completions", BODY, **{"x-request-id": first})).status == 200
            address = (await explain(up, first))["address"]
            seen = len(up.lines)
            async with dead_unnoticed(up, address):
                answer = await stream(up, second)
                decision, counts = await explain(up, second), await in_flight(up)
                answer.close()
            if decision["address"] == address:
                break
            await up.printed(rf"{address} ready", after=seen)  # a scrape was quicker than the request: once more
        assert decision["address"] == address, "the picker always knew before the request came"
        assert decision["served_by"] in decision["fallbacks"]
        assert counts[address] == 0
        assert sum(counts.values()) == 1
