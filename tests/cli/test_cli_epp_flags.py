"""The flags of ``signalbox epp``: how they may be written, what they default to, where help lists them."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.pickers import parse
from typer.testing import CliRunner

from signalbox.cli.go_flags import plain_switches
from signalbox.cli.limits import read_limits
from signalbox.cli.main import app
from signalbox.wire import Limits

SWITCHES = {"--on": "--no-on"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), True),
        (("--secure-serving",), True),
        (("--secure-serving=true",), True),
        (("--secure-serving=1",), True),
        (("--no-secure-serving",), False),
        (("--secure-serving=false",), False),
        (("--secure-serving=F",), False),
        (("--secure-serving=false", "--secure-serving"), True),
    ],
)
def test_a_switch_is_written_as_go_programs_take_it_or_as_python_ones_do(
    flags: tuple[str, ...], expected: bool
) -> None:
    assert parse(*flags).secure_serving is expected


def test_a_switch_with_another_value_is_refused() -> None:
    result = CliRunner().invoke(app, ["epp", "--secure-serving=perhaps"])
    assert result.exit_code == 2
    assert "--secure-serving: 'perhaps' is neither true nor false" in result.output


@given(st.lists(st.text(max_size=12).filter(lambda text: not text.startswith("--on="))))
def test_all_other_arguments_are_left_alone(args: list[str]) -> None:
    assert plain_switches(args, SWITCHES) == args


@given(st.text(max_size=6))
def test_a_value_is_true_or_false_or_an_error(value: str) -> None:
    try:
        assert plain_switches([f"--on={value}"], SWITCHES) in (["--on"], ["--no-on"])
    except typer.BadParameter:
        assert value.lower() not in ("true", "false", "0", "1", "t", "f") or value in ("tRUE", "TRue")


def test_the_defaults_of_the_limits_are_those_of_the_transport() -> None:
    assert read_limits(parse()) == Limits()


def test_limits_are_given_in_the_units_their_names_say() -> None:
    options = parse(
        *("--body-limit", "2", "--max-streams", "3", "--max-header-bytes", "4096", "--max-buffered-mib", "7"),
        *("--max-total-buffered-mib", "8", "--max-connections", "9"),
        *("--idle-timeout", "1.5", "--message-timeout", "2.5"),
    )
    mib = 1 << 20
    assert read_limits(options) == Limits(
        streams=3,
        header_list_bytes=4096,
        message_bytes=6 * mib,
        buffered_bytes=7 * mib,
        server_buffered_bytes=8 * mib,
        connections=9,
        idle_seconds=1.5,
        message_seconds=2.5,
    )


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (
            ("--body-limit", "64", "--max-buffered-mib", "67"),
            "--max-buffered-mib 67: one body of --body-limit 64 takes",
        ),
        (("--max-total-buffered-mib", "255"), "--max-total-buffered-mib 255 is below --max-buffered-mib 256"),
    ],
)
def test_limits_that_contradict_each_other_are_named(flags: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_limits(parse(*flags))


@pytest.mark.parametrize("flag", ["--max-streams", "--max-header-bytes", "--max-buffered-mib", "--idle-timeout"])
def test_no_limit_may_be_zero(flag: str) -> None:
    result = CliRunner().invoke(app, ["epp", flag, "0"])
    assert result.exit_code == 2
    assert flag in result.output


def test_help_lists_the_flags_in_sections() -> None:
    text = CliRunner().invoke(app, ["epp", "--help"], env={"COLUMNS": "100"}).output
    general, _, rest = text.partition("TLS of the ext_proc port:")
    tls, _, limits = rest.partition("Limits: what clients may take:")
    assert "--drain-seconds" in general
    assert all(flag in tls for flag in ("--secure-serving", "--cert-path", "--client-ca-file"))
    for flag in ("body-limit", "max-streams", "max-header-bytes", "max-connections", "idle-timeout"):
        assert f"--{flag}" in limits
    assert "--help" in general
