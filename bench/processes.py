"""Processes under measurement: start, wait until they listen, read their CPU time and memory, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_POLL = 0.05


class NotStarted(Exception):
    """A process ended, or did not listen in time; the message names it and quotes the end of its log."""


class Process:
    """One process and its children; its output goes to ``log``."""

    def __init__(self, name: str, argv: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def listening(self, host: str, port: int, timeout: float = 30.0) -> None:
        """Return once ``host:port`` takes a connection; raises NotStarted after ``timeout`` seconds or if it ended."""
        deadline = time.monotonic() + timeout
        while True:
            self.check()
            try:
                socket.create_connection((host, port), timeout=1.0).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise NotStarted(f"{self.name} does not listen on {host}:{port}: {self.last_words()}") from None
                time.sleep(_POLL)
            else:
                return

    def check(self) -> None:
        """Raise NotStarted if the process has ended."""
        if self._popen.poll() is not None:
            raise NotStarted(f"{self.name} ended with {self._popen.returncode}: {self.last_words()}")

    def cpu_seconds(self) -> float:
        """CPU time of the process and its descendants so far. The kernel counts it in nanoseconds."""
        return sum(_cpu_nanoseconds(pid) for pid in family(self.pid)) / 1e9

    def resident_bytes(self) -> int:
        """Memory in RAM (VmRSS) of the process and its descendants."""
        return sum(_resident_bytes(pid) for pid in family(self.pid))

    def last_words(self) -> str:
        """The last line of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "its log is empty"

    def stop(self, grace: float = 5.0) -> None:
        """SIGTERM; after ``grace`` seconds SIGKILL, to the descendants too."""
        members = family(self.pid)
        self._popen.terminate()
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for pid in members[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def python_module(name: str, *arguments: str) -> list[str]:
    """The command line that runs a module of this repository in this interpreter."""
    return [sys.executable, "-m", name, *arguments]


def family(pid: int) -> list[int]:
    """``pid`` and all its descendants, parents first."""
    members = [pid]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                members += [int(child) for child in children.read_text().split()]
            except OSError:  # the thread has just ended
                continue
    return members


def _cpu_nanoseconds(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[0])
        except OSError:  # the thread has just ended
            continue
    return total


def _resident_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
