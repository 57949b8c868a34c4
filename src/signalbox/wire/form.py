"""In which form this package runs: as its source says, or with the modules that every message passes compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from signalbox.wire import frames

COMPILED: Final = not (frames.__file__ or "").endswith(".py")
"""Whether they are compiled. They are built together, so one stands for all; see docs/performance.md."""

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_STAMP: Final = "made-from.txt"
"""Lies beside what ``make compiled`` makes; its second line is the folder of the source."""


def changed_source(package: Path = _PACKAGE) -> Path | None:
    """Return the source folder that the compiled ``package`` was made from, if it holds something else by now.

    ``None`` also where there is nothing to compare: the package is its own source, or a wheel's, or the folder is gone.
    """
    try:
        source = Path((package.parent / _STAMP).read_text().splitlines()[1])
    except (OSError, IndexError):
        return None
    now = _files(source / package.name)
    if not now or (
        now.keys() == (made := _files(package)).keys()
        and all(path.read_bytes() == made[name].read_bytes() for name, path in now.items())
    ):
        return None
    return source


def _files(package: Path) -> dict[Path, Path]:
    """The files of a package that somebody wrote, by their place in it."""
    found = (path for path in package.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".so"))
    return {path.relative_to(package): path for path in found}
