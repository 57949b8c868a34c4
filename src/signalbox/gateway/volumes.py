"""ConfigMap volumes on disk, swapped the way a kubelet swaps them.

A reader sees either all old files or all new ones: the files live in a directory of their own, ``..data`` is a symbolic
link to it that is replaced by a rename, and the visible names are links through ``..data``.

    VOLUME/configmap.yaml -> ..data/configmap.yaml
    VOLUME/..data         -> ..2026_01_31_12_00_00.1
    VOLUME/..2026_01_31_12_00_00.1/configmap.yaml
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

DATA = "..data"


def write_volume(directory: Path, files: Mapping[str, bytes]) -> bool:
    """Make ``directory`` hold exactly ``files`` (relative path -> content); return whether anything changed.

    Raises ``ValueError`` for a path that leaves the volume, ``OSError`` when the disk refuses.
    """
    for name in files:
        if name.startswith("/") or ".." in Path(name).parts or Path(name).parts[:1] == (DATA,) or not Path(name).parts:
            raise ValueError(f"{name!r} is not a path inside the volume; ConfigMap keys and item paths are relative")
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / DATA
    if current.is_dir() and _contents(current) == dict(files):
        return False
    payload = _new_payload(directory)
    for name, content in files.items():
        target = payload / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    previous = Path(os.readlink(current)).name if current.is_symlink() else None
    _link(payload.name, current)
    top = {Path(name).parts[0] for name in files}
    for name in top:
        _link(f"{DATA}/{name}", directory / name)
    for entry in directory.iterdir():
        if entry.name not in top and not entry.name.startswith(".."):
            entry.unlink()
    if previous and previous != payload.name:
        shutil.rmtree(directory / previous, ignore_errors=True)
    return True


def _contents(current: Path) -> dict[str, bytes]:
    return {
        str(Path(folder, name).relative_to(current)): Path(folder, name).read_bytes()
        for folder, _, names in os.walk(current)
        for name in names
    }


def _new_payload(directory: Path) -> Path:
    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S")
    number = 0
    while True:
        payload = directory / f"{stamp}.{number}"
        try:
            payload.mkdir()
        except FileExistsError:
            number += 1
        else:
            return payload


def _link(target: str, link: Path) -> None:
    """Point ``link`` at ``target`` in one step, whatever it pointed at before."""
    if link.is_symlink() and os.readlink(link) == target:
        return
    fresh = link.with_name(f"..{link.name.lstrip('.')}_tmp")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)
