"""Runs the probes of one process: asks when a check is due, tells what changed, and why it is not ready."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import aiohttp

from signalbox.gateway.probes import ContainerHealth, Method, Probe, Probes, Role

ANSWERING = 3.0
"""Seconds that a process may answer without being ready before that needs an explanation."""
SILENT = 10.0
"""Seconds that a process may take to answer at all before that needs an explanation."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a check failed."""

    reason: str
    """``GET http://127.0.1.1:8000/health answered 503``."""
    answered: bool = False
    """Whether the process said anything: one that does not may only be starting."""


Ask = Callable[[Probe], Awaitable[Failure | None]]
"""Runs one check; ``None`` is success."""


class HealthWatch:
    """Drives a ``ContainerHealth`` in real time.

    ``on_change`` is called when readiness changed, ``on_restart`` when a threshold of failures asks for a new process,
    ``on_trouble`` when ``trouble`` has something new to say. A process may be silent for ``silent`` seconds, and answer
    without being ready for ``ANSWERING``, before that counts as trouble; one that was ready may not. ``clock`` is a
    monotonic clock in seconds.
    """

    def __init__(
        self,
        probes: Probes,
        ask: Ask,
        on_change: Callable[[], None],
        on_restart: Callable[[Role], None],
        clock: Callable[[], float] = time.monotonic,
        on_trouble: Callable[[], None] = lambda: None,
        silent: float = SILENT,
    ) -> None:
        self.trouble = ""
        """Why the process is not ready, once that takes long; empty when it is ready or nobody should worry yet."""
        self._health = ContainerHealth(probes)
        self._ask = ask
        self._on_change = on_change
        self._on_restart = on_restart
        self._on_trouble = on_trouble
        self._clock = clock
        self._silent = silent
        self._began = 0.0
        self._answered: float | None = None
        self._failures: dict[Role, str] = {}
        self._process = 0
        self._wake = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the process should get traffic."""
        return self._health.ready

    def failure(self, role: Role) -> str:
        """Why the last check of a probe of this process failed; empty when it did not."""
        return self._failures.get(role, "")

    def process_started(self) -> None:
        """A new process runs: its checks begin now."""
        self._process += 1
        self._began, self._answered = self._clock(), None
        self._failures.clear()
        self.trouble = ""
        self._health.process_started(self._began)
        self._wake.set()

    def process_ended(self) -> None:
        """The process is gone."""
        self._process += 1
        was_ready = self.ready
        self._health.process_ended()
        if was_ready:
            self._on_change()

    async def run(self) -> None:
        """Check for ever."""
        while True:
            self._wake.clear()
            due = self._health.next_due()
            if due is None:
                await self._wake.wait()
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), max(0.0, due - self._clock()))
            except TimeoutError:
                await asyncio.gather(*(self._check(role) for role in self._health.due(self._clock())))

    async def _check(self, role: Role) -> None:
        probe, process = self._health.probes.get(role), self._process
        if probe is None:
            return
        failure = await self._ask(probe)
        if process != self._process:
            return  # the answer is about a process that has ended since
        was_ready, now = self.ready, self._clock()
        self._health.observe(role, failure is None, now)
        self._failures[role] = _told(role, probe, failure) if failure else ""
        if self._answered is None and (failure is None or failure.answered):
            self._answered = now
        if self._health.restart_due:
            self._process += 1
            self._on_restart(role)
        if self.ready != was_ready:
            self._on_change()
        self._explain(was_ready, now)

    def _explain(self, was_ready: bool, now: float) -> None:
        """Bring ``trouble`` up to date. A process that has just lost its readiness gets no time to get over it."""
        if self.ready:
            self.trouble = ""
            return
        late = self._answered is not None and now - self._answered >= ANSWERING
        if not (was_ready or self.trouble or late or now - self._began >= self._silent):
            return
        why = self.failure(Role.STARTUP) or self.failure(Role.READINESS)
        if why and why != self.trouble:
            self.trouble = why
            self._on_trouble()


def _told(role: Role, probe: Probe, failure: Failure) -> str:
    """A failure, with the probe where a manifest asks for it."""
    return f"{role} probe {failure.reason} ({probe.place})" if probe.place else failure.reason


def asking(session: aiohttp.ClientSession, host: str, ports: Mapping[int, int]) -> Ask:
    """Return a function that runs checks against ``host``; ``ports`` maps a container's port to the one listened on."""

    async def ask(probe: Probe) -> Failure | None:
        port = ports.get(probe.port, probe.port)
        if probe.method is Method.TCP:
            failure, what = await accepts_connections(host, port, probe.timing.timeout), f"TCP {host}:{port}"
        else:
            url = f"{probe.scheme}://{host}:{port}/{probe.path.lstrip('/')}"
            failure = await answers(session, url, probe.timing.timeout, dict(probe.headers))
            what = f"GET {url}"
        return failure and Failure(f"{what} {failure.reason}", failure.answered)

    return ask


async def accepts_connections(host: str, port: int, timeout: float) -> Failure | None:
    """Why a TCP connection does not succeed within ``timeout`` seconds; ``None`` if it does."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        return _no_answer(error, timeout)
    return None


async def answers(
    session: aiohttp.ClientSession, url: str, timeout: float, headers: Mapping[str, str] | None = None
) -> Failure | None:
    """Why a GET is not answered with 200 to 399 within ``timeout`` seconds; ``None`` if it is.

    That is what the kubelet calls success. The reason leaves out the URL: ``answered 404``, ``connection refused``.
    """
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        # Certificates are not verified, as the kubelet does not either: a probe asks "alive?", not "who are you?".
        async with session.get(url, timeout=limit, headers=headers, allow_redirects=False, ssl=False) as response:
            return None if 200 <= response.status < 400 else Failure(f"answered {response.status}", answered=True)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return _no_answer(error, timeout)


def _no_answer(error: Exception, timeout: float) -> Failure:
    if isinstance(error, TimeoutError):
        return Failure(f"got no answer within {timeout:g} s")
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return Failure("connection closed without an answer", answered=True)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno:
        return Failure(os.strerror(cause.errno).lower())
    return Failure(str(error) or type(error).__name__)
