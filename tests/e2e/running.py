"""A running ``signalbox up``, as a user has it: a process, a port, files to edit."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp

from signalbox.gateway.supervisor import TETHER

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "get-started"
STEPS = ROOT / "examples" / "get-started-steps"


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tethered(*command: str) -> tuple[str, ...]:
    """A command that dies with this process, also when that is killed outright."""
    return (sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command)


def copy_example(directory: Path) -> Path:
    """Copy the five manifests of the guide, unmodified."""
    directory.mkdir()
    for source in sorted(EXAMPLE.glob("*.yaml")):
        shutil.copy(source, directory / source.name)
    return directory


def save(path: Path, text: str) -> None:
    """Save a file as editors do: write a draft, then rename it."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.rename(path)


@dataclass(slots=True)
class Answer:
    """One answer of the gateway."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def model(self) -> str:
        """The answering model, of a 200."""
        assert self.status == 200, f"{self.status} {self.body!r}"
        return str(self.json["model"])


@dataclass(slots=True)
class Up:
    """The process, its port and what it printed."""

    process: asyncio.subprocess.Process
    port: int
    state: Path
    session: aiohttp.ClientSession
    lines: list[str] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _reader: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Collect what the process prints."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())
            self._changed.set()
        self._changed.set()

    async def printed(self, pattern: str, *, after: int = 0, within: float = 60) -> int:
        """Wait for a line that matches; return the number of lines up to and with it."""
        async with asyncio.timeout(within):
            while True:
                for number in range(after, len(self.lines)):
                    if re.search(pattern, self.lines[number]):
                        return number + 1
                if self.process.stdout is not None and self.process.stdout.at_eof():
                    raise AssertionError("up ended:\n" + "\n".join(self.lines))
                self._changed.clear()
                await self._changed.wait()

    async def ask(self, model: str = "food-review", *, path: str = "/v1/completions", **fields: Any) -> Answer:
        """Send one completion request."""
        body = {"model": model, "prompt": "Write as if you were a critic: San Francisco", "max_tokens": 2, **fields}
        return await self.send("POST", path, json.dumps(body).encode())

    async def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send any request."""
        url = f"http://127.0.0.1:{self.port}{path}"
        sent = {"content-type": "application/json", **headers} if body is not None else headers
        data = None if body is None else io.BytesIO(body)
        async with self.session.request(method, url, data=data, headers=sent) as response:
            return Answer(response.status, await response.read(), {k.lower(): v for k, v in response.headers.items()})

    async def until(self, condition: Callable[[], Awaitable[bool]], within: float = 60) -> None:
        """Ask again and again, a few times a second, until ``await condition()`` is true."""
        async with asyncio.timeout(within):
            while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
                await asyncio.sleep(0.05)

    async def models(self) -> set[str]:
        """What ``/v1/models`` lists."""
        answer = await self.send("GET", "/v1/models")
        return {card["id"] for card in answer.json["data"]} if answer.status == 200 else set()

    def processes(self, command: str) -> dict[int, str]:
        """The processes under ``up`` that run ``signalbox COMMAND`` or ``envoy``: pid to command line."""
        found = {}
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if f" {command} " in f" {line} " or line.split(" ")[0].endswith(f"/{command}"):
                    found[pid] = line
        return found

    def servers(self) -> dict[str, int]:
        """The simulated servers: ``host:port`` to pid. Where they are depends on what else runs on this machine."""
        found = self.processes("modelserver")
        return {f"{last_option(line, '--host')}:{last_option(line, '--port')}": pid for pid, line in found.items()}

    def picker_metrics(self) -> str:
        """``host:port`` of the only picker's metrics."""
        (line,) = self.processes("epp").values()
        return f"{last_option(line, '--grpc-host')}:{last_option(line, '--metrics-port')}"

    def ready_pods(self) -> dict[str, str]:
        """The pods that are ready, as far as the lines say: name to ``host:port``."""
        ready: dict[str, str] = {}
        for line in self.lines:
            match = re.fullmatch(r"pod +(\S+)(?: (\S+:\d+))? (.*)", line)
            if match and match[3] == "ready":
                ready[match[1]] = match[2]
            elif match:
                ready.pop(match[1], None)
        return ready

    async def pods_are_ready(self, count: int, within: float = 60) -> None:
        """Wait until so many pods are ready, in whatever order."""
        async with asyncio.timeout(within):
            while len(self.ready_pods()) != count:
                self._changed.clear()
                await self._changed.wait()

    async def stop(self) -> int:
        """Press Ctrl-C; return the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            return await self.process.wait()


def last_option(command_line: str, flag: str) -> str:
    """The value of a flag in a command line; the last, as programs read it."""
    words = command_line.split()
    return [after for word, after in pairwise(words) if word == flag][-1]


def descendants(pid: int) -> set[int]:
    """All processes below ``pid``, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.add(child)
            todo.append(child)
    return found


@contextlib.asynccontextmanager
async def running_up(state: Path, *arguments: str, connections: int = 64) -> AsyncIterator[Up]:
    """Run ``signalbox up ARGUMENTS`` on a free port until the block ends; wait until it is ready."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONWARNINGS",)}
    process = await asyncio.create_subprocess_exec(
        *tethered(sys.executable, "-m", "signalbox", "up", *arguments),
        *("--port", str(port), "--plain", "--state-dir", str(state)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment, start_new_session=True,
    )  # fmt: skip
    connector = aiohttp.TCPConnector(limit=connections)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        up = Up(process, port, state, session)
        reader = asyncio.create_task(up.follow())
        family: set[int] = set()
        try:
            await up.printed(r"ready in [\d.]+ s")
            yield up
            family = descendants(process.pid)
        finally:
            family |= descendants(process.pid)
            with contextlib.suppress(ProcessLookupError):
                status = await up.stop()
            await reader
        left = {pid for pid in family if Path(f"/proc/{pid}").exists() and not _is_zombie(pid)}
        assert status == 0, "\n".join(up.lines)
        assert not left, f"left behind: {left}"


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


class Load:
    """Clients that never pause: each sends its next request when the last was answered."""

    def __init__(self, up: Up, clients: int = 16, **fields: Any) -> None:
        self._up = up
        self._clients = clients
        self._fields = fields
        self._stop = False
        self.statuses: Counter[int | str] = Counter()
        self.models: Counter[str] = Counter()
        self.failures: list[str] = []
        self._progress = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def total(self) -> int:
        """How many requests have ended."""
        return self.statuses.total()

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def reached(self, total: int, within: float = 300) -> None:
        """Wait until ``total`` requests have ended."""
        async with asyncio.timeout(within):
            while self.total < total:
                self._progress.clear()
                await self._progress.wait()

    async def more(self, count: int) -> None:
        """Wait for ``count`` further requests."""
        await self.reached(self.total + count)

    async def _client(self) -> None:
        while not self._stop:
            try:
                answer = await self._up.ask(**self._fields)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.statuses[type(error).__name__] += 1
                self.failures.append(repr(error))
            else:
                self.statuses[answer.status] += 1
                if answer.status == 200:
                    self.models[answer.model] += 1
                else:
                    self.failures.append(f"{answer.status} {answer.body[:300]!r}")
            self._progress.set()
