"""The command as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from signalbox.adapters import run

if TYPE_CHECKING:
    from tests.adapters.conftest import FakeVLLM

PROGRAM = "import sys; from signalbox.adapters import run; sys.exit(run(sys.argv[1:]))"
CONFIG = """
vLLMLoRAConfig:
  host: model-server.invalid
  ensureExist: {models: [{id: a, source: s}]}
"""
STUCK = 20.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "configmap.yaml"
    path.write_text(CONFIG)
    return path


@contextlib.asynccontextmanager
async def syncer(*arguments: str, config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "DYNAMIC_LORA_ROLLOUT_CONFIG": str(config)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def finished(process: asyncio.subprocess.Process) -> tuple[int, str]:
    async with asyncio.timeout(STUCK):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_syncs_serves_metrics_and_stops_on_a_signal(
    vllm: FakeVLLM, config: Path, number: signal.Signals
) -> None:
    port = free_port()
    dial = f"model-server.invalid:8000={vllm.address}"
    async with syncer("--connect-to", dial, "--metrics-port", str(port), config=config) as process:
        assert process.stdout is not None
        lines: list[str] = []
        async with asyncio.timeout(STUCK):
            while not (lines and "Waiting 5s before next reconciliation..." in lines[-1]):
                lines.append((await process.stdout.readline()).decode())
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
            metrics = await response.text()
        process.send_signal(number)
        code, rest = await finished(process)
    assert code == 0
    assert f"stopping on {number.name}" in rest
    assert vllm.adapters == {"a": "s"}
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - \w+\.py:\d+ -  ", lines[0])
    assert any("adapter to load a" in line for line in lines)
    assert any("loaded model a" in line for line in lines)
    assert 'lora_syncer_adapter_status{adapter_name="a"} 1.0' in metrics
    assert "lora_syncer_config_valid 1.0" in metrics
    assert 'lora_syncer_reconcile_total{result="ok"} 1.0' in metrics
    assert "lora_syncer_last_success_timestamp_seconds" in metrics


async def test_once_does_one_pass(vllm: FakeVLLM, config: Path) -> None:
    dial = ("--connect-to", f"model-server.invalid:8000={vllm.address}")
    async with syncer("--once", *dial, config=config) as process:
        assert (await finished(process))[0] == 0
    assert vllm.adapters == {"a": "s"}
    vllm.adapters.clear()
    vllm.broken.add("s")
    async with syncer("--once", *dial, config=config) as process:
        code, output = await finished(process)
    assert code == 1
    assert "error loading model a" in output


async def test_once_without_a_server_or_a_configuration_fails(vllm: FakeVLLM, config: Path) -> None:
    await vllm.stop()
    timing = ("--health-check-timeout", "0.05", "--health-check-interval", "0.01")
    dial = ("--connect-to", f"model-server.invalid:8000={vllm.address}")
    async with syncer("--once", *timing, *dial, config=config) as process:
        code, output = await finished(process)
    assert code == 1
    assert "vllm server at model-server.invalid:8000 not healthy" in output
    async with syncer("--once", "--config", str(config.parent / "none.yaml"), config=config) as process:
        code, output = await finished(process)
    assert code == 1
    assert "none.yaml: cannot be read" in output


async def test_metrics_may_be_served_on_one_address_only(config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        async with syncer("--metrics-host", "127.0.0.2", "--metrics-port", str(port), config=config) as process:
            assert process.stdout is not None
            async with asyncio.timeout(STUCK):
                while f"metrics server on port {port}" not in (await process.stdout.readline()).decode():
                    pass
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.2:{port}/metrics") as response:
                assert "lora_syncer_config_valid" in await response.text()


async def test_a_metrics_port_in_use_is_an_error(config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with syncer("--metrics-port", str(port), config=config) as process:
            code, output = await finished(process)
    assert code == 1
    assert f"--metrics-port {port}: cannot listen: " in output


async def test_validation_can_be_turned_off(vllm: FakeVLLM, config: Path) -> None:
    config.write_text(CONFIG.replace("[{", "[{id: no-source}, {"))
    dial = ("--connect-to", f"model-server.invalid:8000={vllm.address}")
    async with syncer("--once", "--config-validation", *dial, config=config) as process:
        assert (await finished(process))[0] == 1
    assert not vllm.adapters
    async with syncer("--once", "--no-config-validation", *dial, config=config) as process:
        assert (await finished(process))[0] == 0
    assert vllm.adapters == {"a": "s"}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--connect-to", "localhost:8000"], "HOST:PORT=ADDR:PORT"),
        (["--connect-to", "a=b:1"], "HOST:PORT=ADDR:PORT"),
        (["--metrics-port", "70000"], "is not a port"),
        (["--metrics-port", "http"], "is not a port"),
        (["--reconcile-trigger", "0"], "above 0"),
        (["--health-check-timeout", "soon"], "invalid"),
        (["--nonsense"], "unrecognized"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    complaint = capsys.readouterr().err
    assert what in complaint
    assert complaint.startswith("signalbox lora-syncer: error: ")
    assert complaint.count("\n") == 1


def test_help_needs_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "--connect-to" in capsys.readouterr().out
