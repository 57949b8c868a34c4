"""Which pickers run on this machine, so that ``signalbox explain`` and ``signalbox status`` find them.

``signalbox up`` gives every picker an address of its own. Each picker therefore leaves a note of its admin address in
a directory of its user's; the note goes when the picker does, and one that was killed is known by its dead process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("signalbox.epp")


@dataclass(frozen=True, slots=True)
class Registered:
    """A running picker."""

    pool: str
    """``namespace/name``."""
    url: str
    """Where its admin pages are."""


def directory() -> Path:
    """Where this user's notes are."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"signalbox-pickers-{user}"


@contextlib.contextmanager
def registered(picker: Registered, place: Path | None = None) -> Iterator[None]:
    """Leave a note for the length of the block. Where none can be left (a read-only file system) it says so once."""
    note: Path | None = None
    try:
        place = place or directory()
        note = place / f"{os.getpid()}-{picker.url.rpartition(':')[2]}.json"
        place.mkdir(mode=0o700, exist_ok=True)
        if not _ours(place):
            raise PermissionError(f"{place} belongs to somebody else")
        partial = note.with_suffix(".partial")
        partial.write_text(json.dumps({"pool": picker.pool, "url": picker.url}))
        partial.replace(note)
    except OSError as error:
        log.debug("no note of this picker; signalbox explain needs --server", extra={"error": str(error)})
    try:
        yield
    finally:
        if note is not None:
            with contextlib.suppress(OSError):
                note.unlink()


def running(place: Path | None = None) -> list[Registered]:
    """Return the pickers of this user that run here, by pool."""
    place = place or directory()
    found = []
    if not _ours(place):
        return []
    for note in sorted(place.glob("*.json")):
        owner = note.name.partition("-")[0]
        if not owner.isdecimal() or not _alive(int(owner)):
            with contextlib.suppress(OSError):
                note.unlink()
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(note.read_text())
            found.append(Registered(str(content["pool"]), str(content["url"])))
    return sorted(found, key=lambda picker: (picker.pool, picker.url))


def _ours(place: Path) -> bool:
    try:
        found = place.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
