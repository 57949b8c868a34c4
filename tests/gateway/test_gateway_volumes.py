"""ConfigMap volumes change in one step."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.gateway.volumes import write_volume

FILES = st.dictionaries(st.sampled_from(["a", "b.yaml", "dir/c", "dir/d", ".hidden"]), st.binary(max_size=8))


def visible(volume: Path) -> dict[str, bytes]:
    """What a reader finds under the visible names, which it follows as links."""
    return {
        str(Path(folder, name).relative_to(volume)): Path(folder, name).read_bytes()
        for entry in volume.iterdir()
        if not entry.name.startswith("..")
        for folder, names in (
            [(str(volume), [entry.name])]
            if entry.is_file()
            else [(f, n) for f, _, n in os.walk(entry, followlinks=True)]
        )
        for name in names
    }


def test_files_are_links_through_a_data_directory(tmp_path: Path) -> None:
    assert write_volume(tmp_path / "v", {"configmap.yaml": b"1"})
    assert (tmp_path / "v" / "configmap.yaml").readlink() == Path("..data/configmap.yaml")
    assert (tmp_path / "v" / "..data").readlink().name.startswith("..2")
    assert (tmp_path / "v" / "configmap.yaml").read_bytes() == b"1"


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    write_volume(tmp_path, {"a": b"1"})
    before = (tmp_path / "..data").readlink()
    assert not write_volume(tmp_path, {"a": b"1"})
    assert (tmp_path / "..data").readlink() == before


def test_a_file_kept_open_still_reads_the_old_content(tmp_path: Path) -> None:
    write_volume(tmp_path, {"a": b"old"})
    with (tmp_path / "a").open("rb") as reader:
        write_volume(tmp_path, {"a": b"new"})
        assert reader.read() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_a_volume_may_be_empty(tmp_path: Path) -> None:
    write_volume(tmp_path, {"a": b"1"})
    assert write_volume(tmp_path, {})
    assert visible(tmp_path) == {}


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "..data", "..data/x", ""])
def test_paths_outside_the_volume_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a path inside the volume"):
        write_volume(tmp_path, {name: b"1"})


@given(contents=st.lists(FILES, min_size=1, max_size=5))
def test_a_reader_always_sees_exactly_the_newest_files(
    tmp_path_factory: pytest.TempPathFactory, contents: list[dict[str, bytes]]
) -> None:
    volume = tmp_path_factory.mktemp("volume")
    for files in contents:
        changed = write_volume(volume, files)
        assert visible(volume) == files
        assert not write_volume(volume, files)
        assert changed or files == visible(volume)
    leftovers = [entry.name for entry in volume.iterdir() if entry.name.startswith("..2")]
    assert len(leftovers) == 1, "payloads of earlier contents are removed"
