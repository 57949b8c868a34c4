"""A benchmark that is asked to measure nothing says so before it begins."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from bench import amounts


def test_what_there_is_to_measure_is_taken_as_written() -> None:
    assert amounts.count("3") == 3
    assert amounts.seconds("0.5") == 0.5


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_a_count_is_at_least_one(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text}: use a whole number, 1 or more"):
        amounts.count(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_is_above_zero(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text}: use a number of seconds above 0"):
        amounts.seconds(text)


@pytest.mark.parametrize(
    ("benchmark", "flag"),
    [
        ("bench", "--rounds"),
        ("bench.exchange", "--rounds"),
        ("bench.waiting", "--requests"),
        ("bench.profile", "--seconds"),
    ],
)
def test_a_command_refuses_nothing_at_once(benchmark: str, flag: str) -> None:
    ran = subprocess.run([sys.executable, "-m", benchmark, flag, "0"], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert f"argument {flag}: 0: use a" in ran.stderr
    assert ran.stdout == ""
