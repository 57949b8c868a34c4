"""The terminal."""

import io
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.live import Live

from signalbox.gateway.figures import Figures
from signalbox.gateway.members import Member, Phase
from signalbox.gateway.pod_table import shortened
from signalbox.gateway.screen import LiveScreen, PickerRow, PlainScreen, Snapshot, line, open_screen, table
from signalbox.gateway.serving import curl_lines


def drawn(snapshot: Snapshot, width: int = 160) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table(snapshot))
    return out.getvalue()


def test_the_table_shows_pods_pickers_the_proxy_and_the_command_to_try() -> None:
    pod = Member("default", "pod-0", {}, "127.0.1.1", 8000, Phase.READY, restarts=2)
    figures = Figures(waiting=3, running=2, kv_usage=0.256, adapters=("food-1", "food-2"), rate=1.25)
    text = drawn(
        Snapshot(
            "http://localhost:8080",
            (pod, Member("default", "pod-1", {}, "127.0.1.2", 8000, Phase.STARTING)),
            {"default/pod-0": figures},
            (PickerRow("pool", "127.0.2.1:9002", True, 1),),
            "envoy pid 7",
            ("curl \\", "  x"),
        )
    )
    lines = [each.split() for each in text.splitlines()]
    assert ["pod-0", "127.0.1.1:8000", "ready", "(2", "restarts)", "3", "2", "26%", "1.2", "food-1,", "food-2"] in lines
    assert ["pod-1", "127.0.1.2:8000", "starting", "-", "-", "-", "-"] in lines
    assert "picker of pool  127.0.2.1:9002  ready, 1 restart\n" in text
    assert "envoy pid 7" in text
    assert text.endswith("\ncurl \\\n  x\n")


NAMES = [f"vllm-llama3-8b-instruct-1a2b3c-{index}" for index in range(3)]


def pods(*restarts: int) -> tuple[Member, ...]:
    return tuple(
        Member("default", name, {}, f"127.0.1.{index}", 8000, Phase.NOT_READY, restarts=count)
        for index, (name, count) in enumerate(zip(NAMES, restarts, strict=True))
    )


def test_at_80_columns_adapters_and_restarts_are_below_the_table_and_names_lose_their_middle() -> None:
    figures = {
        f"default/{name}": Figures(waiting=100, running=256, kv_usage=1.0, adapters=adapters, rate=1234.5)
        for name, adapters in zip(NAMES, [("food-review-1", "food-review-2")] * 2 + [()], strict=True)
    }
    lines = drawn(Snapshot("up", pods(0, 1, 2), figures), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split() == ["pod", "address", "state", "waiting", "running", "KV", "use", "req/s"]
    shown = [line.split()[0] for line in lines[3:6]]
    assert [name[-3:] for name in shown] == ["c-0", "c-1", "c-2"]
    assert all(name.startswith("vllm-") and "…" in name for name in shown)
    assert lines[3].split()[1:] == ["127.0.1.0:8000", "not", "ready", "100", "256", "100%", "1234.5"]
    assert lines[6:] == [
        f"{shown[1]}: 1 restart",
        f"{shown[2]}: 2 restarts",
        f"adapters {shown[0]}, {shown[1]}: food-review-1, food-review-2",
    ]


def test_what_all_pods_have_is_one_line() -> None:
    figures = {f"default/{name}": Figures(adapters=("food-review-1",)) for name in NAMES}
    text = drawn(Snapshot("up", pods(0, 0, 0), figures), 80)
    assert text.endswith("\nadapters of all pods: food-review-1\n")


@given(st.text(min_size=1), st.integers(3, 50))
def test_a_shortened_name_keeps_both_ends(name: str, width: int) -> None:
    short = shortened(name, width)
    assert len(short) == min(len(name), width)
    assert (short[0], short[-1]) == (name[0], name[-1])


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_command_copied_from_the_live_table_is_the_command(width: int) -> None:
    lines = curl_lines(8080, "meta-llama/Llama-3.1-8B-Instruct")
    out = io.StringIO()
    console = Console(file=out, width=width, height=50, force_terminal=True, color_system=None)
    with Live(table(Snapshot("up", curl=lines)), console=console, auto_refresh=False):
        pass
    assert "\n".join(lines) in out.getvalue().replace("\r", "")


def test_a_command_that_does_not_fit_is_not_broken_but_left_out() -> None:
    text = drawn(Snapshot("up", curl=curl_lines(8080, "m" * 90)), 80)
    assert "curl" not in text
    assert "in the line `ready` above" in text


def test_an_empty_cluster_has_no_table() -> None:
    assert drawn(Snapshot("starting (0 s)")).split() == ["starting", "(0", "s)"]


def test_plain_lines_are_aligned() -> None:
    out = io.StringIO()
    screen = PlainScreen(out)
    screen.say("pod", "a")
    screen.say("manifests", "b")
    assert out.getvalue() == "pod         a\nmanifests   b\n"


def test_lines_on_a_terminal_are_not_broken_and_not_interpreted() -> None:
    out = io.StringIO()
    screen = LiveScreen(Console(file=out, width=20, force_terminal=True, color_system=None))
    text = "curl [bold]" + "x" * 50
    screen.say("ready", text)
    screen.close()
    assert out.getvalue() == f"{line('ready', text)}\n"


def test_an_output_that_nobody_reads_any_more_stops_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    out: TextIO = Gone()
    PlainScreen(out).say("pod", "a")
    assert out.getvalue() == "" if isinstance(out, io.StringIO) else False


def test_without_a_terminal_lines_are_plain() -> None:
    assert isinstance(open_screen(plain=True), PlainScreen)
