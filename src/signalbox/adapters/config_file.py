"""The configuration as a file that changes under us."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import watchfiles

from signalbox.adapters.config import InvalidConfig, SyncConfig, parse_config

log = logging.getLogger(__name__)

_RETRY_WATCH = 2.0


class ConfigFile:
    """A configuration file; ``config`` is the last good content (``None``: there was none yet).

    ``valid`` says whether the file's present content is good. ``validate`` is that of ``parse_config``.
    """

    def __init__(self, path: Path, validate: bool = True) -> None:
        self.path = path
        self.config: SyncConfig | None = None
        self.valid = False
        self._validate = validate
        self._seen: bytes | str | None = None
        self._said: set[str] = set()
        self._refused = False

    def refresh(self) -> bool:
        """Read the file; return whether another configuration is in force now. Says what is wrong, once a change."""
        try:
            content: bytes | str = self.path.read_bytes()
        except OSError as error:
            content = f"{self.path}: cannot be read: {error.strerror or error}; mount the ConfigMap or correct --config"
        if content == self._seen:
            return False
        self._seen = content
        self.valid = False
        try:
            if isinstance(content, str):
                raise InvalidConfig([content])
            parsed = parse_config(_decoded(content, self.path), str(self.path), self._validate)
        except InvalidConfig as error:
            for problem in error.problems:
                log.error("%s", problem)
            kept = "the last good configuration stays in force" if self.config else "nothing is loaded or unloaded"
            log.error("configuration refused: %s", kept)
            self._refused = True
            return False
        for warning in parsed.warnings:
            if warning not in self._said:
                log.warning("%s", warning)
        self._said = set(parsed.warnings)
        self.valid = True
        if self._refused:
            log.info("configuration %s is good now and in force", self.path)
            self._refused = False
        before, self.config = self.config, parsed.config
        return parsed.config != before


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidConfig([f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8"]) from None


async def watch(path: Path, changed: asyncio.Event) -> None:
    """Set ``changed`` whenever something happens beside ``path``, until cancelled.

    The directory is watched, not the file: a kubelet updates a mounted ConfigMap by swapping the ``..data`` symlink its
    files go through, so that the file itself never changes. A missing directory is looked for again and again.
    """
    while True:
        stop = asyncio.Event()
        try:
            async for _ in watchfiles.awatch(
                path.parent, watch_filter=None, debounce=200, step=20, stop_event=stop, recursive=False
            ):
                changed.set()
        except OSError as error:
            log.debug("cannot watch %s: %s", path.parent, error)
        finally:
            stop.set()
        await asyncio.sleep(_RETRY_WATCH)
        changed.set()
