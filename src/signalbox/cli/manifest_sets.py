"""Which manifests belong together: those that one cluster would hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from signalbox.sources.manifests import SUFFIXES

Sets = list[tuple[Path, ...]]


def manifest_sets(paths: Sequence[Path]) -> list[tuple[Path, Sets]]:
    """Return the sets under ``paths``, for each path that brings any.

    A directory with manifests of its own is one set, with all that is below it, as ``signalbox up`` reads it. One
    without is a shelf: each directory on it is judged in the same way. Files that are named belong together. Of
    a directory that is reached twice the first time counts.
    """
    seen: set[str] = set()
    found: list[tuple[Path, Sets]] = []
    files = tuple([path for path in paths if not path.is_dir()])
    if files:
        found.append((files[0], [files]))
    for path in paths:
        if path.is_dir():
            sets: Sets = [(directory,) for directory in _directories(path, seen)]
            if sets:
                found.append((path, sets))
    return found


def _directories(directory: Path, seen: set[str]) -> list[Path]:
    identity = os.path.realpath(directory)
    if identity in seen:
        return []
    seen.add(identity)
    try:
        entries = sorted([entry for entry in directory.iterdir() if not entry.name.startswith(".")])
        if any(entry.suffix.lower() in SUFFIXES and entry.is_file() for entry in entries):
            return [directory]
        found = [each for entry in entries if entry.is_dir() for each in _directories(entry, seen)]
    except OSError:
        return [directory]  # whoever reads it will say why it cannot be read
    return found
