"""Our Envoy as the cluster's data plane: told what serves, asked whether it knows, drained before it stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

import aiohttp

from signalbox.gateway.backends import pool_backends, service_backends
from signalbox.gateway.desired import Desired
from signalbox.gateway.envoy import ConfigRejected, Envoy, EnvoyConfig, EnvoyError, EnvoyFiles, Options, translate
from signalbox.gateway.listeners import map_ports
from signalbox.gateway.local_picker import LocalPicker
from signalbox.gateway.local_pod import Surroundings, announce_exit
from signalbox.gateway.members import Member
from signalbox.gateway.supervisor import Exited

DRAIN = 3.0
"""Seconds that requests in flight get when everything stops."""

_POLL = 0.05
_ADMIN_TIMEOUT = aiohttp.ClientTimeout(total=1.0)


class EnvoyProxy:
    """One Envoy on this machine. ``port`` is where the first HTTP listener is served."""

    def __init__(self, around: Surroundings, listen_host: str, port: int) -> None:
        self._around = around
        self._listen_host = listen_host
        self._port = port
        self._directory: Path = around.directory / "envoy"
        self._files = EnvoyFiles(self._directory)
        self._envoy = Envoy(self._directory, on_exit=self._exited)
        self._started = False
        self._said: set[str] = set()
        self._rejected: EnvoyConfig | None = None

    @property
    def pid(self) -> int | None:
        """Envoy's process id while it runs."""
        return self._envoy.pid

    async def publish(
        self, desired: Desired, members: Iterable[Member], pickers: Iterable[LocalPicker], body_router: str
    ) -> None:
        """Put routes, ready members and pickers in force. What Envoy refuses is said, and its last good state stays.

        Raises ``EnvoyError`` when Envoy does not start.
        """
        config = self._translate(desired, tuple(members), pickers, body_router)
        for note in config.notes:
            self._say_once(note)
        if not self._started:
            self._files.write(config)
            await self._envoy.start()
            self._started = True
            await self._envoy.ready()
            self._around.say("envoy", f"pid {self._envoy.pid} ready")
        elif config not in (self._files.current, self._rejected):
            try:
                await self._envoy.apply(self._files, config)
                self._rejected = None
            except ConfigRejected as error:
                self._rejected = config  # asking again would not change its mind
                self._around.say("envoy", f"refused the new configuration, the last one stays: {error}")
            except EnvoyError as error:
                # It died and comes back with the files as they are now.
                self._around.say("envoy", str(error))

    async def stop(self) -> None:
        """Close the listeners, let requests in flight finish, end Envoy."""
        if self._started:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._admin("POST", "/drain_listeners")
                async with asyncio.timeout(DRAIN):
                    while await self._active_requests():  # noqa: ASYNC110 - only another process knows
                        await asyncio.sleep(_POLL)
        await self._envoy.stop(grace=2.0)

    def _translate(
        self, desired: Desired, members: tuple[Member, ...], pickers: Iterable[LocalPicker], body_router: str
    ) -> EnvoyConfig:
        ports = map_ports(desired.gateways, self._port)
        return translate(
            desired.gateways,
            desired.routes,
            pool_backends(desired.pools, members, {picker.pool: picker.address for picker in pickers}),
            service_backends(desired.services, members),
            Options(
                directory=self._directory,
                ports=ports.ports,
                listen_host=self._listen_host,
                body_router=body_router,
                body_limit=self._around.body_limit,
            ),
        )

    async def _active_requests(self) -> int:
        text = await self._admin("GET", "/stats?filter=^http\\..*downstream_rq_active$")
        counts = [line.rpartition(": ") for line in text.splitlines() if not line.startswith("http.admin.")]
        return sum(int(count) for name, _, count in counts if name and count.isdigit())

    async def _admin(self, method: str, path: str) -> str:
        address = self._envoy.admin_address
        if address is None:
            return ""
        url = f"http://{address}{path}"
        async with self._around.session.request(method, url, timeout=_ADMIN_TIMEOUT) as answer:
            return await answer.text()

    def _exited(self, exited: Exited) -> None:
        announce_exit(self._around, "envoy", exited)

    def _say_once(self, note: str) -> None:
        if note not in self._said:
            self._said.add(note)
            self._around.say("note", note)
