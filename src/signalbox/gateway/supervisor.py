"""One supervised process: started, watched, restarted with a growing pause, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TETHER = Path(__file__).with_name("tether.py")

WRONG_ARGUMENTS = 2
"""The exit status of a program that does not understand its command line. Starting it again changes nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run: its arguments, and what it sees in its environment besides ours."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exited:
    """A process that ended without being asked to."""

    name: str
    status: int
    """Exit status; negative for the signal that ended it."""
    tail: tuple[str, ...]
    """The last lines of what it wrote in this run; none after SIGKILL."""
    restart_in: float
    """Seconds until it is started again."""
    repeated: bool = False
    """It ended like this, with these words, the last time too."""

    @property
    def hopeless(self) -> bool:
        """Whether it refused its arguments, and will again until somebody changes them."""
        return self.status == WRONG_ARGUMENTS

    @property
    def reason(self) -> str:
        """``exit status 3`` or ``signal SIGKILL``."""
        if self.status >= 0:
            return f"exit status {self.status}"
        with contextlib.suppress(ValueError):
            return f"signal {signal.Signals(-self.status).name}"
        return f"signal {-self.status}"


@dataclass(slots=True)
class Backoff:
    """Pauses between restarts, in seconds: each twice the last, from ``first`` up to ``longest``.

    A process that stayed up for ``stable`` seconds begins again at ``first``, one that refused its arguments waits for
    ``hopeless``. The kubelet's pauses are 10 s to 5 min and its reset takes 10 min: right for a node nobody watches,
    too slow for a terminal somebody looks at.
    """

    first: float = 0.25
    longest: float = 15.0
    stable: float = 20.0
    hopeless: float = 60.0
    _next: float = 0.0

    def pause(self, ran_for: float) -> float:
        """The pause before the next start, after a run of ``ran_for`` seconds."""
        if self._next == 0.0 or ran_for >= self.stable:
            self._next = self.first
        pause = self._next
        self._next = min(self._next * 2, self.longest)
        return pause


class Supervised:
    """Keeps one process running until ``stop``.

    ``on_start`` is called after each start, ``on_exit`` after each end that nobody asked for. Output goes to ``log``.
    """

    def __init__(
        self,
        command: Command,
        log: Path,
        on_start: Callable[[], None] = lambda: None,
        on_exit: Callable[[Exited], None] = lambda exited: None,
        backoff: Backoff | None = None,
    ) -> None:
        self.command = command
        self.log = log
        self.restarts = 0
        self._on_start = on_start
        self._on_exit = on_exit
        self._backoff = backoff or Backoff()
        self._process: asyncio.subprocess.Process | None = None
        self._written = 0
        self._last_end: tuple[int, tuple[str, ...]] | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    def start(self) -> None:
        """Start the process, and start it again whenever it ends, until ``stop`` is called."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_running(), name=f"supervise {self.command.name}")

    def restart(self) -> None:
        """Replace a process that no longer does its work: it is killed, and the usual pause applies."""
        self._signal(signal.SIGKILL)

    async def stop(self, grace: float = 5.0, *, hurried: bool = False) -> None:
        """End the process: SIGTERM, and SIGKILL to its whole group when ``grace`` seconds were not enough.

        With ``hurried`` there is nothing to wait for any more. A program of ours that is asked twice stops at once; the
        second time is a SIGINT, since two signals of one kind may arrive as one.
        """
        self._stopping.set()
        self._signal(signal.SIGTERM)
        if hurried:
            self._signal(signal.SIGINT)
        if self._task is None:
            return
        _, pending = await asyncio.wait({self._task}, timeout=grace)
        if pending:
            self._signal(signal.SIGKILL)
        await self._task

    async def _keep_running(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set():
                return
            self.restarts += 1
            exited = self._end(status, time.monotonic() - began)
            self._on_exit(exited)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), exited.restart_in)

    def _end(self, status: int, ran_for: float) -> Exited:
        # Nobody has last words for SIGKILL: the end of its log is what it said while all was well.
        tail = () if status == -signal.SIGKILL else last_lines(self.log, since=self._written)
        pause = self._backoff.pause(ran_for) if status != WRONG_ARGUMENTS else self._backoff.hopeless
        repeated, self._last_end = (status, tail) == self._last_end, (status, tail)
        return Exited(self.command.name, status, tail, pause, repeated)

    async def _run_once(self) -> int:
        self._written = size(self.log)
        process = await _spawn(self.command, self.log)
        self._process = process
        if self._stopping.is_set():  # asked to stop while the process was being created
            self._signal(signal.SIGTERM)
        else:
            self._on_start()
        status = await process.wait()
        _kill_group(process.pid)  # what it started itself must not outlive it
        return status

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is None:
            return
        if number is signal.SIGKILL:
            _kill_group(pid)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


async def run_to_end(command: Command, log: Path) -> int:
    """Run a process that ends by itself and return its exit status; cancelling kills it."""
    process = await _spawn(command, log)
    try:
        return await process.wait()
    finally:
        _kill_group(process.pid)
        await process.wait()


async def _spawn(command: Command, log: Path) -> asyncio.subprocess.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(TETHER), str(os.getpid())),
            *command.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **command.environment},
            # Ctrl-C in the terminal is for us: we decide in which order the others stop.
            start_new_session=True,
        )


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def size(log: Path) -> int:
    """How many bytes a log file holds; 0 when there is none."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def last_lines(log: Path, count: int = 5, since: int = 0) -> tuple[str, ...]:
    """The last ``count`` lines that are not empty of what a log file holds after its first ``since`` bytes.

    None when it cannot be read.
    """
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, since, file.tell() - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple([line for line in text.splitlines() if line.strip()][-count:])
