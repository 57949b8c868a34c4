"""Noticing changes: saves, renames, deletions, link swaps, paths that come and go. On the real file system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from signalbox.sources import changes
from signalbox.sources.watching import is_relevant


async def change(stream: AsyncGenerator[None, None]) -> None:
    """Wait for the next item; the limit only ends a test that would hang."""
    await asyncio.wait_for(anext(stream), 20)


async def test_the_first_item_comes_as_soon_as_the_watch_stands(tmp_path: Path) -> None:
    async with aclosing(changes([tmp_path])) as stream:
        await change(stream)


async def test_saves_additions_and_deletions_in_a_directory_are_seen(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "a.yaml"
    async with aclosing(changes([tmp_path])) as stream:
        await change(stream)
        file.write_text("a: 1")
        await change(stream)
        file.write_text("a: 2")
        await change(stream)
        file.unlink()
        await change(stream)


async def test_a_file_that_is_replaced_by_a_rename_is_seen_again_and_again(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 0")
    async with aclosing(changes([file])) as stream:
        await change(stream)
        for number in range(3):
            (tmp_path / "new").write_text(f"a: {number}")
            (tmp_path / "new").replace(file)
            await change(stream)


@pytest.mark.parametrize("what", ["directory", "file"])
async def test_the_swap_of_a_mounted_config_map_is_seen(tmp_path: Path, what: str) -> None:
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "m.yaml").write_text(version)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "m.yaml").symlink_to("..data/m.yaml")
    async with aclosing(changes([tmp_path if what == "directory" else tmp_path / "m.yaml"])) as stream:
        await change(stream)
        for version in ("..2", "..1"):
            (tmp_path / "..data_tmp").symlink_to(version)
            (tmp_path / "..data_tmp").replace(tmp_path / "..data")
            await change(stream)


async def test_a_path_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "conf" / "deep" / "a.yaml"
    async with aclosing(changes([file])) as stream:
        await change(stream)
        (tmp_path / "conf").mkdir()
        await change(stream)
        file.parent.mkdir()
        await change(stream)
        file.write_text("a: 1")
        await change(stream)


async def test_a_directory_that_is_replaced_is_watched_anew(tmp_path: Path) -> None:
    watched = tmp_path / "manifests"
    watched.mkdir()
    async with aclosing(changes([watched])) as stream:
        await change(stream)
        watched.rename(tmp_path / "old")
        await change(stream)
        watched.mkdir()
        await change(stream)
        (watched / "a.yaml").write_text("a: 1")
        await change(stream)


async def test_a_link_to_a_file_elsewhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.yaml").write_text("a: 1")
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "a.yaml"
    link.symlink_to("../real/a.yaml")
    async with aclosing(changes([link])) as stream:
        await change(stream)
        (tmp_path / "real" / "a.yaml").write_text("a: 2")
        await change(stream)


async def test_a_watch_the_system_refuses_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object, **__: object) -> AsyncGenerator[None, None]:
        raise RuntimeError("inotify watch limit reached")
        yield

    monkeypatch.setattr("signalbox.sources.watching.awatch", refused)
    async with aclosing(changes([tmp_path])) as stream:
        await change(stream)
        with pytest.raises(OSError, match=r"cannot watch /.*: inotify watch limit reached"):
            await change(stream)


async def test_closing_ends_the_watch(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    stream = changes([tmp_path])
    await change(stream)
    await stream.aclose()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("path", "relevant"),
    [
        ("a.yaml", True),
        ("sub/a.yaml", True),
        ("..data", True),
        ("..2025_03_13/a.yaml", True),
        (".a.yaml.swp", False),
        (".git/index", False),
        ("sub/.cache/a.yaml", False),
    ],
)
def test_what_editors_and_version_control_keep_for_themselves_does_not_matter(path: str, relevant: bool) -> None:
    assert is_relevant(f"/manifests/{path}", "/manifests") is relevant
