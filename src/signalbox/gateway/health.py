"""Runs the probes of one process: asks when a check is due, and tells what changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from signalbox.gateway.probes import ContainerHealth, Method, Probe, Probes, Role

Ask = Callable[[Probe], Awaitable[bool]]


class HealthWatch:
    """Drives a ``ContainerHealth`` in real time.

    ``ask`` runs one check. ``on_change`` is called when readiness changed, ``on_restart`` when a threshold of
    failures asks for a new process. ``clock`` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        probes: Probes,
        ask: Ask,
        on_change: Callable[[], None],
        on_restart: Callable[[Role], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._health = ContainerHealth(probes)
        self._ask = ask
        self._on_change = on_change
        self._on_restart = on_restart
        self._clock = clock
        self._process = 0
        self._wake = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the process should get traffic."""
        return self._health.ready

    def process_started(self) -> None:
        """A new process runs: its checks begin now."""
        self._process += 1
        self._health.process_started(self._clock())
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
        success = await self._ask(probe)
        if process != self._process:
            return  # the answer is about a process that has ended since
        was_ready = self.ready
        self._health.observe(role, success, self._clock())
        if self._health.restart_due:
            self._process += 1
            self._on_restart(role)
        if self.ready != was_ready:
            self._on_change()


def asking(session: aiohttp.ClientSession, host: str, ports: Mapping[int, int]) -> Ask:
    """Return a function that runs checks against ``host``; ``ports`` maps a container's port to the one listened on."""

    async def ask(probe: Probe) -> bool:
        port = ports.get(probe.port, probe.port)
        if probe.method is Method.TCP:
            return await accepts_connections(host, port, probe.timing.timeout)
        url = f"{probe.scheme}://{host}:{port}/{probe.path.lstrip('/')}"
        return await answers(session, url, probe.timing.timeout, dict(probe.headers))

    return ask


async def accepts_connections(host: str, port: int, timeout: float) -> bool:
    """Whether a TCP connection succeeds within ``timeout`` seconds."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return False
    return True


async def answers(
    session: aiohttp.ClientSession, url: str, timeout: float, headers: Mapping[str, str] | None = None
) -> bool:
    """Whether a GET is answered with 200 to 399 within ``timeout`` seconds, which is what the kubelet calls success."""
    limit = aiohttp.ClientTimeout(total=timeout)
    try:
        # Certificates are not verified, as the kubelet does not either: a probe asks "alive?", not "who are you?".
        async with session.get(url, timeout=limit, headers=headers, allow_redirects=False, ssl=False) as response:
            return 200 <= response.status < 400
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
