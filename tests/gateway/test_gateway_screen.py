"""The terminal."""

import io
from typing import TextIO

from rich.console import Console

from signalbox.gateway.figures import Figures
from signalbox.gateway.members import Member, Phase
from signalbox.gateway.screen import LiveScreen, PickerRow, PlainScreen, Snapshot, line, open_screen, table


def drawn(snapshot: Snapshot) -> str:
    out = io.StringIO()
    Console(file=out, width=160).print(table(snapshot))
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
            "curl x",
        )
    )
    lines = [each.split() for each in text.splitlines()]
    assert ["pod-0", "127.0.1.1:8000", "ready", "(2", "restarts)", "3", "2", "26%", "1.2", "food-1,", "food-2"] in lines
    assert ["pod-1", "127.0.1.2:8000", "starting", "-", "-", "-", "-"] in lines
    assert "picker of pool  127.0.2.1:9002  ready, 1 restarts" in text
    assert "envoy pid 7" in text
    assert "curl x" in text


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
