"""Standard output that takes nothing more: one line and a status, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = (("crds",), ("--help",), ("--version",), ("validate", "examples"))


def started(command: tuple[str, ...], output: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "signalbox", *command],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_one_line(command: tuple[str, ...]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    process = started(command, full)
    os.close(full)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1:]) == (
        2,
        ["signalbox: the output cannot be written: No space left on device"],
    )
    assert "Traceback" not in said


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_gone_is_told_nothing(command: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    process = started(command, write)
    os.close(write)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "Broken" not in said
