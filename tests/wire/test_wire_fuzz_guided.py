"""The fuzzer's second engine, as far as it needs no atheris: how bytes become an episode, and what a run reports."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fuzz import __main__ as command
from fuzz import guided
from fuzz.runner import TARGETS
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.binary(max_size=300)))
def test_an_episode_is_read_as_it_was_written(inputs: list[bytes]) -> None:
    assert guided.unpack(guided.pack(inputs), 0) == inputs


def test_an_input_that_is_too_long_is_cut_and_one_that_is_too_short_left_out() -> None:
    assert guided.unpack(guided.pack([bytes(70_000), b"a", b""]), 1) == [bytes(0xFFFF), b"a"]


@given(st.binary(max_size=2000), st.integers(0, 2))
def test_any_bytes_are_an_episode(data: bytes, shortest: int) -> None:
    assert all(len(step) >= shortest for step in guided.unpack(data, shortest))


@given(st.binary(max_size=500))
@pytest.mark.parametrize("target", TARGETS)
def test_each_target_takes_what_any_bytes_come_to(target: str, data: bytes) -> None:
    inputs = guided.unpack(data, guided._SHORTEST.get(target, 0))
    assert TARGETS[target].run(inputs, Counter()) >= 0


def test_where_it_starts_every_target_takes_its_own_traffic() -> None:
    for name, target in TARGETS.items():
        inputs = target.generate(Random(f"guided/{name}/0"))
        read = guided.unpack(guided.pack(inputs), guided._SHORTEST.get(name, 0))
        assert target.run(read, Counter()) == target.run(inputs, Counter())


def test_without_atheris_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert command.guided_runs(1000, tmp_path) == 2
    assert "pip install atheris" in capsys.readouterr().out


@pytest.mark.parametrize(("status", "expected", "runs"), [(0, 0, len(TARGETS)), (77, 1, 1)])
def test_the_first_target_that_fails_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, expected: int, runs: int
) -> None:
    commands: list[list[str]] = []

    def run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        commands.append(argv)
        return subprocess.CompletedProcess(argv, status)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(subprocess, "run", run)
    assert command.guided_runs(1_000_000, tmp_path) == expected
    assert len(commands) == runs
    assert commands[0] == [sys.executable, "-m", "fuzz.guided", "transport", "10000", str(tmp_path)]


def test_an_engine_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fuzz", "--engine", "afl"])
    with pytest.raises(SystemExit) as refused:
        command.main()
    assert refused.value.code == 2
