"""Pickers as ``signalbox epp`` runs them, in this process or in one of their own, and gRPC channels to them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import yaml
from typer.testing import CliRunner

from signalbox.cli import epp as epp_command
from signalbox.cli.epp_options import EppOptions
from signalbox.cli.main import app
from signalbox.cli.picker import Picker
from signalbox.cli.stopping import Stop
from signalbox.pool import Pool
from signalbox.sources import DirectorySource

PORTS = ("--grpc-host", "127.0.0.1", "--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0")
LABELS = {"app": "llm"}


def write_source(directory: Path, addresses: Mapping[str, str] | None = None, port: int = 8000) -> Path:
    """Write a pool ``pool`` and its pods (name to address) into ``directory``."""
    directory.mkdir(exist_ok=True)
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": {"name": "pool"},
            "spec": {
                "selector": {"matchLabels": LABELS},
                "targetPorts": [{"number": port}],
                "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
            },
        }
    ]
    for name, address in (addresses or {"pod-0": "127.0.0.2"}).items():
        status = {"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]}
        metadata = {"name": name, "labels": LABELS}
        documents.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})
    (directory / "pool.yaml").write_text(yaml.safe_dump_all(documents))
    return directory


def parse(*flags: str) -> EppOptions:
    """What ``signalbox epp FLAGS`` is told."""
    told: list[EppOptions] = []

    def run(options: EppOptions) -> int:
        told.append(options)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epp_command, "run", run)
        result = CliRunner().invoke(app, ["epp", *flags])
    assert result.exit_code == 0, result.output
    return told[0]


@dataclass
class Running:
    """A picker in this process."""

    picker: Picker
    pool: Pool
    stop: Stop
    task: asyncio.Task[None]

    @property
    def address(self) -> str:
        """``host:port`` of ext_proc."""
        return f"127.0.0.1:{self.picker.grpc_port}"

    @property
    def in_flight(self) -> int:
        """Requests on their way, over all endpoints."""
        return int(self.pool.columns.inflight.sum())

    async def settled(self) -> None:
        """Wait until nothing is in flight any more."""
        async with asyncio.timeout(10):
            while self.in_flight:  # noqa: ASYNC110 - the last message of a stream has no answer to wait for
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running_picker(
    source: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """Run a picker with these flags on free ports of 127.0.0.1 until the block ends."""
    options = parse("--source", str(source), *PORTS, *flags)
    pool = Pool("pool")
    files = DirectorySource(source, pool)
    files.load()
    picker = Picker(options, files, pool, environment or {})
    stop = Stop()
    task = asyncio.create_task(picker.run(stop))
    listening = asyncio.create_task(picker.listening.wait())
    await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    try:
        if task.done():
            await task
        yield Running(picker, pool, stop, task)
    finally:
        stop.ask()
        stop.ask()
        await task


@asynccontextmanager
async def channel_to(address: str, credentials: Any = None, name: str = "") -> AsyncIterator[Any]:
    """A gRPC channel of its own connection; ``name`` is the one expected in the server's certificate."""
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    if name:
        options.append(("grpc.ssl_target_name_override", name))
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=options)
    async with channel:
        yield channel


@dataclass
class Process:
    """A ``signalbox epp`` process and its log."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def logged(self, message: str, within: float = 20) -> dict[str, Any]:
        """Read the log up to this message; return its fields."""
        assert self.process.stderr is not None
        async with asyncio.timeout(within):
            async for line in self.process.stderr:
                self.lines.append(json.loads(line))
                if self.lines[-1]["message"] == message:
                    return self.lines[-1]
        raise AssertionError(f"{message!r} is not among {self.lines}")

    def terminate(self) -> None:
        """SIGTERM, as Kubernetes sends it."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self, within: float = 20) -> int:
        """Wait for the process; return its exit status."""
        async with asyncio.timeout(within):
            return await self.process.wait()


@asynccontextmanager
async def picker_process(source: Path, *flags: str) -> AsyncIterator[Process]:
    """Start ``signalbox epp FLAGS`` on free ports; it is killed when the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signalbox", "epp", "--source", str(source), *PORTS, *flags),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
