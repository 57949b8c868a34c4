"""What a syncer's log holds for the person at the terminal: its warnings and errors, each said once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from signalbox.gateway.supervisor import size

INTERVAL = 0.25
"""Seconds between two looks at the log."""

_LINE = re.compile(r".* - ([A-Z]+) - \S+:\d+ -  (.*)")
_SERIOUS = frozenset({"WARNING", "ERROR", "CRITICAL"})
_RETRY = re.compile(r"; next attempt in [\d.]+ s$")


class SyncerLog:
    """Reads what is added to a log file, and calls ``say`` with each distinct warning or error.

    ``names`` says what to call the files it mentions, by their path on this machine.
    """

    def __init__(self, log: Path, say: Callable[[str], None], names: Mapping[str, str]) -> None:
        self._log = log
        self._say = say
        self._names = names
        self._read = size(log)
        self._said: set[str] = set()

    def tell(self, message: str) -> None:
        """Say a message, unless it has been said since ``forget``."""
        if message not in self._said:
            self._said.add(message)
            self._say(message)

    def forget(self) -> None:
        """Say everything again should it come again: what the messages are about has changed."""
        self._said.clear()

    def look(self) -> None:
        """Say what is new in the log, up to its last complete line."""
        try:
            with self._log.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except OSError:
            return
        complete = text.rfind(b"\n") + 1
        self._read += complete
        for line in text[:complete].decode("utf-8", "replace").splitlines():
            match = _LINE.fullmatch(line)
            if match and match[1] in _SERIOUS:
                # The pause is another one each time; the trouble is the same.
                self.tell(self._named(_RETRY.sub("; trying again", match[2])))

    async def follow(self) -> None:
        """Look again and again until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(INTERVAL)

    def _named(self, text: str) -> str:
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text


def message_of(line: str) -> str:
    """A line of a syncer's log without time, level and place."""
    match = _LINE.fullmatch(line)
    return match[2] if match else line
