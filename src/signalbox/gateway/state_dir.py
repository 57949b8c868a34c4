"""The directory in which one ``signalbox up`` keeps its files and logs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "signalbox-up-"


@contextlib.contextmanager
def state_directory(kept: Path | None) -> Iterator[Path]:
    """A directory to use: ``kept``, which stays, or a temporary one, which goes. Raises ``OSError``."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        for name in ("pods", "pickers"):  # what an earlier run left there describes pods that are gone
            shutil.rmtree(kept / name, ignore_errors=True)
        yield kept.absolute()
        return
    root = Path(tempfile.gettempdir())
    remove_orphans(root)
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=root))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def remove_orphans(root: Path) -> None:
    """Remove the temporary directories of runs that were killed before they could do it themselves."""
    for directory in root.glob(f"{PREFIX}*"):
        owner = directory.name.removeprefix(PREFIX).split("-", 1)[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(directory, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
