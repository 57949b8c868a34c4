"""Standard output that takes nothing more: one line and a status, whatever the command."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from signalbox.cli import printed
from signalbox.cli.printed import lost

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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS])
def test_whatever_ails_the_disk_it_is_one_line(
    number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printed, "close_output", lambda: None)
    assert lost(OSError(number, os.strerror(number))) == 2
    assert capsys.readouterr().err == f"signalbox: the output cannot be written: {os.strerror(number)}\n"


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full", "a-file"), ConnectionRefusedError(errno.ECONNREFUSED, "refused")]
)
def test_errors_of_named_files_and_of_connections_are_somebody_elses(error: OSError) -> None:
    assert lost(error) is None
