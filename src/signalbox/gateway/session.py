"""One run of ``signalbox up``, from the first look at the manifests to the last process that ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from pathlib import Path

import aiohttp

from signalbox.gateway.arguments import ArgumentCheck
from signalbox.gateway.cluster import Cluster
from signalbox.gateway.configurations import ConfigurationCheck
from signalbox.gateway.desired import Desired, sort_out
from signalbox.gateway.envoy import EnvoyError
from signalbox.gateway.figures import Scraper
from signalbox.gateway.listeners import PortMap, map_ports
from signalbox.gateway.local_pod import Surroundings
from signalbox.gateway.manifest_log import ManifestLog
from signalbox.gateway.preflight import check_configuration, check_envoy, check_manifests, check_paths, check_ports
from signalbox.gateway.proxy import EnvoyProxy
from signalbox.gateway.screen import PickerRow, Screen, Snapshot, open_screen
from signalbox.gateway.servers import (
    BadServer,
    ExternalServer,
    ServerURL,
    made_up_resources,
    parse_server,
    pool_for,
    resolve,
)
from signalbox.gateway.serving import curl_lines, joined, missing_models, ready_pods, sample_model
from signalbox.gateway.state_dir import state_directory
from signalbox.gateway.up import UpError, UpOptions
from signalbox.resources import Origin, Problem, Resource, unexpected
from signalbox.sources import ManifestReader, Manifests, changes

log = logging.getLogger("signalbox.up")

PICKER_PATIENCE = 5.0
"""Seconds ``ready`` waits for pickers to say that they know the pods."""
MODEL_PATIENCE = 8.0
"""Seconds ``ready`` waits for adapters that models name but no server lists; then it says so and goes on."""

_POLL = 0.1
_TIMEOUT = aiohttp.ClientTimeout(total=1.0)


class Session:
    """Reads manifests, keeps the cluster in line with them, and tells the person at the terminal."""

    def __init__(self, options: UpOptions, began: float) -> None:
        self._options = options
        self._began = began
        self._screen: Screen = open_screen(options.plain)
        self._log = ManifestLog(self._screen.say)
        self._arguments = ArgumentCheck()
        self._configurations = ConfigurationCheck(options.config_file)
        self._made_up: tuple[Resource, ...] = ()
        self._servers: tuple[tuple[ServerURL, str], ...] = ()
        self._headline = "starting"
        self._curl: tuple[str, ...] = ()
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal; return the exit status. Raises ``UpError`` for what is wrong before anything starts."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        check_paths(self._options.paths, self._options.servers)
        try:
            self._servers = tuple(
                [(server, await asyncio.to_thread(resolve, server)) for server in self._server_urls()]
            )
            if not self._options.paths:
                self._made_up = made_up_resources(server for server, _ in self._servers)
            reader = ManifestReader(self._options.paths)
            desired = self._read(reader)
            check_manifests(self._log.problems, desired.empty)
            check_configuration(self._options.config_file, desired)
            if self._servers:
                pool_for((server for server, _ in self._servers), desired.pools)
        except BadServer as error:
            raise UpError(str(error), 2) from None
        check_envoy()
        ports = map_ports(desired.gateways, self._options.port)
        check_ports(ports, self._options.listen_host)
        self._say_ports(ports)
        with state_directory(self._options.state_dir) as directory:
            self._screen.say("logs", str(directory / "logs"))
            await self._run_in(directory, reader, desired)
        return 0

    async def _run_in(self, directory: Path, reader: ManifestReader, desired: Desired) -> None:
        async with _session() as session:
            wake = asyncio.Event()
            around = Surroundings(
                directory,
                session,
                wake.set,
                self._screen.say,
                self._options.speed,
                self._options.body_limit,
                self._taken_ports(desired),
            )
            proxy = EnvoyProxy(around, self._options.listen_host, self._options.port)
            servers = [
                ExternalServer(server, address, pool_for([server], desired.pools), around)
                for server, address in self._servers
            ]
            cluster = Cluster(around, proxy, servers, wake)
            scraper = Scraper(session, lambda: cluster.members)
            cluster.want(desired)
            work = [
                cluster.run(),
                self._follow(reader, cluster),
                scraper.run(),
                self._announce(cluster, scraper, session),
                self._screen.run(lambda: self._snapshot(cluster, scraper, proxy)),
            ]
            try:
                await self._until_stopped(work)
            except EnvoyError as error:
                raise UpError(str(error)) from None
            finally:
                self._screen.close()
                self._screen.say("stopping", "letting requests finish, then everything ends")
                await cluster.stop()
                self._screen.say("stopped", "")

    async def _until_stopped(self, work: list[Coroutine[None, None, None]]) -> None:
        """Run ``work`` until a signal arrives; what any of it raises ends the session."""
        stop = asyncio.create_task(self._stopped())
        tasks = {stop, *map(asyncio.create_task, work)}
        pending = tasks
        try:
            while not stop.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stopped(self) -> None:
        await self._stop.wait()

    # -- manifests ----------------------------------------------------------------------------------------------

    def _read(self, reader: ManifestReader) -> Desired:
        manifests = self._arguments.check(reader.read())
        desired = sort_out((*self._made_up, *manifests.resources), servers_given=bool(self._servers))
        desired, problems = self._configurations.check(desired)
        self._log.tell(self._without_configuration(manifests, problems), desired)
        return replace(desired, refused=manifests.problems)

    def _without_configuration(self, manifests: Manifests, problems: tuple[Problem, ...]) -> Manifests:
        """All problems, and what was skipped but for the configuration, which is read after all."""
        file = self._options.config_file
        skipped = manifests.skipped
        if file is not None:
            skipped = tuple(each for each in skipped if Path(each.origin.path).resolve() != file.resolve())
        return replace(manifests, problems=(*manifests.problems, *problems), skipped=skipped)

    async def _follow(self, reader: ManifestReader, cluster: Cluster) -> None:
        file = self._options.config_file
        paths = [*self._options.paths, *([] if file is None else [file])]
        if not paths:
            return
        async for _ in changes(paths):
            try:
                desired = self._read(reader)
            except Exception as error:  # of our own making: what runs goes on as it is
                named = ", ".join(map(str, paths))
                log.exception("manifests could not be put together", extra={"paths": named})
                self._screen.say("problem", f"{unexpected(Origin(named), error)}; the last good state stays in force")
                continue
            if desired != cluster.desired:
                cluster.want(desired)

    def _taken_ports(self, desired: Desired) -> frozenset[int]:
        if self._options.listen_host not in ("0.0.0.0", "::"):
            return frozenset()
        return frozenset(map_ports(desired.gateways, self._options.port).declared.values())

    def _server_urls(self) -> tuple[ServerURL, ...]:
        return tuple({(url.host, url.port): url for url in map(parse_server, self._options.servers)}.values())

    # -- what the terminal says ---------------------------------------------------------------------------------

    def _say_ports(self, ports: PortMap) -> None:
        for declared, port in ports.declared.items():
            self._screen.say(
                "listener", f"port {declared} of the Gateway is served at {self._options.listen_host}:{port}"
            )

    async def _announce(self, cluster: Cluster, scraper: Scraper, session: aiohttp.ClientSession) -> None:
        """Say ``ready`` once, when the request it shows would be answered."""
        while not cluster.settled:  # noqa: ASYNC110 - it depends on a dozen things, none worth an event of its own
            await asyncio.sleep(_POLL)
        await self._pickers_know(cluster, session)
        missing = await self._models_loaded(cluster, scraper)
        if missing:
            names = ", ".join(missing)
            self._screen.say("warning", f"not every server lists {names}, which InferenceModels send requests to")
        ports = map_ports(cluster.desired.gateways, self._options.port)
        port = next(iter(ports.declared.values()), self._options.port)
        host = (
            "localhost"
            if self._options.listen_host in ("127.0.0.1", "0.0.0.0", "::", "::1")
            else self._options.listen_host
        )
        self._curl = curl_lines(port, sample_model(cluster.desired, cluster.members, scraper.figures), host)
        elapsed = time.monotonic() - self._began
        self._headline = f"http://{host}:{port}"
        self._screen.say("ready", f"ready in {elapsed:.1f} s; try: {joined(self._curl)}")

    async def _pickers_know(self, cluster: Cluster, session: aiohttp.ClientSession) -> None:
        deadline = time.monotonic() + PICKER_PATIENCE
        for pool in cluster.desired.pools:
            expected = sum(member.ready for member in cluster.members_of(pool))
            for picker in cluster.pickers:
                while picker.pool == pool.key and time.monotonic() < deadline:
                    page = await _text(session, f"http://{picker.host}:{picker.metrics_port}/metrics")
                    if (ready_pods(page) or 0) >= expected:
                        break
                    await asyncio.sleep(_POLL / 2)

    async def _models_loaded(self, cluster: Cluster, scraper: Scraper) -> tuple[str, ...]:
        deadline = time.monotonic() + MODEL_PATIENCE
        while True:
            await scraper.scrape()
            missing: list[str] = []
            for pool in cluster.desired.pools:
                missing += missing_models(cluster.desired.models_of(pool), cluster.members_of(pool), scraper.figures)
            if not missing or time.monotonic() > deadline:
                return tuple(dict.fromkeys(missing))
            await asyncio.sleep(_POLL)

    def _snapshot(self, cluster: Cluster, scraper: Scraper, proxy: EnvoyProxy) -> Snapshot:
        pickers = tuple(
            PickerRow(picker.pool.name, picker.address, picker.ready, picker.restarts) for picker in cluster.pickers
        )
        starting = not self._curl
        headline = f"starting ({time.monotonic() - self._began:.0f} s)" if starting else self._headline
        envoy = f"envoy pid {proxy.pid}" if proxy.pid else "envoy starting"
        return Snapshot(headline, cluster.members, scraper.figures, pickers, envoy, self._curl)


@contextlib.asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session for probes and scrapes: a connection per request, so that a dead server is noticed at once."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    try:
        async with session.get(url, timeout=_TIMEOUT) as response:
            return await response.text()
    except (aiohttp.ClientError, OSError, TimeoutError):
        return ""
