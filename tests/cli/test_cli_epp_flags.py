"""The flags of ``signalbox epp``: how they may be written, what they default to, where help lists them."""

from __future__ import annotations

from dataclasses import fields

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.pickers import parse
from typer.core import TyperGroup, TyperOption
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


def test_every_limit_of_the_transport_can_be_set() -> None:
    assert read_limits(parse("--transport-limit", "turn_seconds=0.005")) == Limits(turn_seconds=0.005)
    given = ("--transport-limit", "reset_burst=7", "--transport-limit", "frame_bytes=20000")
    assert read_limits(parse(*given)) == Limits(reset_burst=7, frame_bytes=20_000)
    assert read_limits(parse(*given, "--transport-limit", "reset_burst = 8")).reset_burst == 8, "the last one counts"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("streams=5", "this limit has a flag of its own, use --max-streams"),
        ("turns=5", "no such limit; there are connection_window_bytes, continuation_frames, control_burst, "),
        ("turn_seconds", "write turn_seconds= and a number"),
        ("turn_seconds=soon", "write turn_seconds= and a number"),
        ("reset_burst=1.5", "write reset_burst= and a whole number"),
        ("turn_seconds=0", "Limits.turn_seconds is 0.0: use a number above 0"),
        ("turn_seconds=nan", "a number that is finite"),
        ("stall_seconds=inf", "a number that is finite"),
        ("frame_bytes=1", "Limits.frame_bytes is 1: RFC 9113 allows 16384 to 16777215"),
    ],
)
def test_a_limit_of_the_transport_that_cannot_be_is_named(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"--transport-limit.*{problem}"):
        read_limits(parse("--transport-limit", text))


@pytest.mark.parametrize("flag", ["--max-streams", "--max-header-bytes"])
def test_what_settings_announce_fits_into_them(flag: str) -> None:
    result = CliRunner().invoke(app, ["epp", flag, str(2**32)])
    assert result.exit_code == 2
    assert flag in result.output
    with pytest.raises(ValueError, match="SETTINGS say it, use at most 4294967295"):
        Limits(**{"--max-streams": {"streams": 2**32}, "--max-header-bytes": {"header_list_bytes": 2**32}}[flag])
    assert parse(flag, str(2**32 - 1))


def test_each_limit_is_either_a_flag_or_a_transport_limit() -> None:
    refused = set()
    for name in (field.name for field in fields(Limits)):
        try:
            assert read_limits(parse("--transport-limit", f"{name}={getattr(Limits(), name)}")) == Limits()
        except ValueError:
            refused.add(name)
    assert len(refused) == 8, "those that the test of the units sets by flags of their own"


def test_picker_and_body_based_routing_share_the_flags_they_both_have() -> None:
    commands = typer.main.get_command(app)
    assert isinstance(commands, TyperGroup)
    epp, bbr = [
        {option.name: option.help for option in commands.commands[name].params if isinstance(option, TyperOption)}
        for name in ("epp", "bbr")
    ]
    shared = {"grpc_port", "drain_seconds", "cert_path", "client_ca_file", "body_limit", "transport_limit"}
    assert shared <= epp.keys() & bbr.keys()
    assert {name: epp[name] for name in shared} == {name: bbr[name] for name in shared}


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
