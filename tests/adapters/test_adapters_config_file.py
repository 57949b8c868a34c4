"""The syncer's configuration as a file: what is said when it breaks, and when it is mended."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from signalbox.adapters.config_file import ConfigFile

GOOD = "vLLMLoRAConfig: {port: 8000}\n"


def said(file: ConfigFile, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What one look at the file says."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        file.refresh()
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize("mended", [GOOD, "vLLMLoRAConfig: {port: 8001}\n"])
def test_a_file_that_was_mended_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, mended: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    file = ConfigFile(path)
    assert said(file, caplog) == []
    path.write_text("vLLMLoRAConfig: {port: many}\n")
    assert said(file, caplog)[-1] == (
        "ERROR",
        "configuration refused: the last good configuration stays in force",
    )
    path.write_text("vLLMLoRAConfig: {port: none}\n")
    assert {level for level, _ in said(file, caplog)} == {"ERROR"}
    path.write_text(mended)
    assert said(file, caplog) == [("INFO", f"configuration {path} is good now and in force")]
    assert said(file, caplog) == []
    assert file.valid


def test_a_file_that_comes_late_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = ConfigFile(tmp_path / "c.yaml")
    assert said(file, caplog)[-1] == ("ERROR", "configuration refused: nothing is loaded or unloaded")
    file.path.write_text(GOOD)
    assert said(file, caplog) == [("INFO", f"configuration {file.path} is good now and in force")]
