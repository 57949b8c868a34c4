"""Warnings and errors of a syncer reach the terminal, each once."""

from pathlib import Path

import pytest

from signalbox.gateway.syncer_log import SyncerLog, message_of

STAMP = "2026-01-31 12:00:00"


class Followed:
    """A log, and what of it was said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[str] = []
        self.log = SyncerLog(path, self.said.append, {"/tmp/x/configmap.yaml": "ConfigMap adapters configmap.yaml"})

    def writes(self, *lines: str) -> list[str]:
        """Add lines, look, and return what is said because of them."""
        with self.path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
        self.said.clear()
        self.log.look()
        return list(self.said)


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    (tmp_path / "log").write_text(f"{STAMP} - ERROR - a.py:1 -  of an earlier run\n")
    return Followed(tmp_path / "log")


def test_only_warnings_and_errors_are_said_without_their_decoration(followed: Followed) -> None:
    assert followed.writes(
        f"{STAMP} - INFO - loop.py:7 -  adapter to load a",
        f"{STAMP} - WARNING - reconcile.py:88 -  skipped adapters found in both a - b",
        "Traceback (most recent call last):",
        f"{STAMP} - ERROR - config_file.py:52 -  /tmp/x/configmap.yaml: vLLMLoRAConfig.port: missing",
    ) == ["skipped adapters found in both a - b", "ConfigMap adapters configmap.yaml: vLLMLoRAConfig.port: missing"]


def test_the_same_trouble_is_said_once_whatever_the_pause_before_the_next_attempt(followed: Followed) -> None:
    trouble = f"{STAMP} - ERROR - reconcile.py:140 -  error loading model a: 404; next attempt in "
    assert followed.writes(trouble + "1.2 s") == ["error loading model a: 404; trying again"]
    assert followed.writes(trouble + "2.4 s") == []


def test_after_a_change_it_is_said_again(followed: Followed) -> None:
    line = f"{STAMP} - ERROR - a.py:1 -  bad"
    assert followed.writes(line) == ["bad"]
    followed.log.forget()
    assert followed.writes(line) == ["bad"]


def test_half_a_line_waits_for_its_other_half(followed: Followed) -> None:
    with followed.path.open("a") as file:
        file.write(f"{STAMP} - ERROR - a.py:1 -  half")
    followed.log.look()
    assert followed.said == []
    assert followed.writes(" and half") == ["half and half"]


def test_a_log_that_is_not_there_yet_says_nothing(tmp_path: Path) -> None:
    followed = Followed(tmp_path / "none")
    followed.log.look()
    assert followed.said == []


def test_a_line_of_another_shape_is_its_own_message() -> None:
    assert message_of(f"{STAMP} - INFO - loop.py:7 -  waiting") == "waiting"
    assert message_of("waiting") == "waiting"
