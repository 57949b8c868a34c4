"""Noticing that files changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from watchfiles import Change, awatch

# At INFO it counts the changes that it saw, down to every save of an editor; we say what came of them.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

STEP_MS = 50
"""A batch ends when nothing has changed for this long, in milliseconds."""

LONGEST_BATCH_MS = 500
"""A batch ends after this long at the latest, in milliseconds, however busy the files are."""


class _Targets(NamedTuple):
    """What to watch. Directories carry their identity, so that one that was replaced is watched anew."""

    trees: frozenset[tuple[str, int, int]]
    """Directories with everything under them: path, device, inode."""
    parents: frozenset[tuple[str, int, int]]
    """Directories of which only some entries count."""
    entries: frozenset[str]
    """The entries that count, as full paths."""


async def changes(paths: Sequence[Path]) -> AsyncGenerator[None, None]:
    """Yield once for each batch of changes under the paths, until closed.

    The first item comes at once, as soon as the watch stands: what changed between an earlier reading and then is not
    missed by a caller who reads again. A file is watched through its directory, so that replacing it by a rename is
    seen, and so is the swap of a mounted ConfigMap's ``..data`` link. A path that does not exist yet is waited for.
    What a symbolic link inside a directory points to is not watched, only the link.

    Raises OSError where the system cannot watch, as when it has run out of inotify watches.
    """
    roots = [Path(os.path.abspath(path)) for path in paths]
    changed = asyncio.Event()
    armed: _Targets | None = None
    watches: list[asyncio.Task[None]] = []
    try:
        while True:
            targets = _targets(roots)
            if targets != armed or any(watch.done() for watch in watches):
                await _stop(watches)
                watches = _start(targets, changed)
                # One turn of the loop runs each watch up to its first wait, at which point the kernel reports to it.
                await asyncio.sleep(0)
                armed = targets
            yield None
            await _wait(changed, watches)
            changed.clear()
    finally:
        await _stop(watches)


def is_relevant(path: str, tree: str) -> bool:
    """Whether a change of ``path`` under the watched directory ``tree`` can matter to a reader of manifests.

    Names that start with one dot are editors' and version control's own; ``..data`` is a mounted ConfigMap's link.
    """
    return not any(part.startswith(".") and not part.startswith("..") for part in Path(path).relative_to(tree).parts)


def _targets(roots: Sequence[Path]) -> _Targets:
    trees: set[tuple[str, int, int]] = set()
    parents: set[tuple[str, int, int]] = set()
    entries: set[str] = set()
    for root in roots:
        if root.is_dir():
            trees.add(_identified(Path(os.path.realpath(root))))
        entry = root
        while not entry.parent.is_dir():
            entry = entry.parent
        directories = [(entry.parent, entry.name)]
        if root.is_symlink() and root.is_file():
            behind = Path(os.path.realpath(root))
            directories.append((behind.parent, behind.name))
        for directory, name in directories:
            real = Path(os.path.realpath(directory))
            parents.add(_identified(real))
            entries.update((str(real / name), str(real / "..data")))
    return _Targets(frozenset(trees), frozenset(parents), frozenset(entries))


def _identified(directory: Path) -> tuple[str, int, int]:
    try:
        status = directory.stat()
    except FileNotFoundError:
        return str(directory), 0, 0
    return str(directory), status.st_dev, status.st_ino


def _start(targets: _Targets, changed: asyncio.Event) -> list[asyncio.Task[None]]:
    trees = sorted(path for path, _, _ in targets.trees)
    parents = sorted(path for path, _, _ in targets.parents)

    def in_trees(_: Change, path: str) -> bool:
        return any(is_relevant(path, tree) for tree in trees if Path(path).is_relative_to(tree))

    def among_entries(_: Change, path: str) -> bool:
        return path in targets.entries

    watches = []
    for directories, relevant, recursive in ((trees, in_trees, True), (parents, among_entries, False)):
        if directories:
            watches.append(asyncio.create_task(_watch(directories, relevant, recursive, changed)))
    return watches


async def _watch(
    directories: Sequence[str], relevant: Callable[[Change, str], bool], recursive: bool, changed: asyncio.Event
) -> None:
    stream = awatch(*directories, watch_filter=relevant, recursive=recursive, step=STEP_MS, debounce=LONGEST_BATCH_MS)
    try:
        async for _ in stream:
            changed.set()
    except RuntimeError as error:
        # What watchfiles raises here for want of inotify watches is a RuntimeError whose own type it does not export.
        raise OSError(f"cannot watch {', '.join(directories)}: {error}") from error


async def _wait(changed: asyncio.Event, watches: Sequence[asyncio.Task[None]]) -> None:
    """Return when something changed or a watched directory turned out to be gone; raise what else ended a watch."""
    waiting = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait([waiting, *watches], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for watch in watches:
        if watch.done():
            with contextlib.suppress(FileNotFoundError):
                watch.result()


async def _stop(watches: Sequence[asyncio.Task[None]]) -> None:
    for watch in watches:
        watch.cancel()
    await asyncio.gather(*watches, return_exceptions=True)
