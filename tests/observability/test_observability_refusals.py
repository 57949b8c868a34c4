"""What was refused before a picker could see it, through the file that tells it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.observability.refusals import Refusals, read_refusals

sentences = st.lists(st.text(), max_size=4).map(tuple)


@given(sentences, sentences)
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, objects: tuple[str, ...], configuration: tuple[str, ...]
) -> None:
    refusals = Refusals(objects, configuration)
    file = tmp_path_factory.getbasetemp() / "refused.json"
    file.write_text(refusals.text())
    assert read_refusals(file) == refusals


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "7", "{}", '{"objects": []}', '{"objects": "text", "configuration": []}', "\xff"],
)
def test_a_file_that_does_not_say_is_said_to_be_so(tmp_path: Path, content: str) -> None:
    file = tmp_path / "refused.json"
    file.write_bytes(content.encode("latin-1"))
    (problem,), configuration = read_refusals(file)
    assert problem.startswith(f"{file}: does not say what was refused; write ")
    assert configuration == ()


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    (problem,), _ = read_refusals(tmp_path / "gone.json")
    assert "cannot be read: No such file or directory; put it back or drop --refused-file" in problem
