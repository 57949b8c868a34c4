from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from rich.console import Console

from signalbox.lab import Server, Workload, guide
from signalbox.lab.policies import POLICIES
from signalbox.lab.rehearsal import Plan, Rehearsal, rehearse
from signalbox.lab.report import as_json, as_page, figure_table, ladder_table, request_lines
from signalbox.lab.report.plot import COLOURS, Axis, Line, plot, standalone
from signalbox.lab.report.words import number, servers_in_words

MakeServer = Callable[..., Server]
MakeWorkload = Callable[..., Workload]


@pytest.fixture
def rehearsal(second_server: MakeServer, workload_of: MakeWorkload) -> Rehearsal:
    """Two policies, one of them with a name that HTML must not take for its own, and a ladder."""
    workload = workload_of(*[(at * 2.0, 10, 4, (at % 3, at)) for at in range(30)])
    plan = Plan(
        workload,
        (second_server(), second_server()),
        (guide(), POLICIES["round-robin"].__class__("<b>&", POLICIES["round-robin"].rules)),
        ladder=(0.5, 8.0),
        rounds=1,
    )
    made = Rehearsal(plan)
    rehearse(made, 1, lambda _: lambda _job, _count: None)
    return made


def test_every_policy_is_replayed_in_order_and_climbs_the_ladder(rehearsal: Rehearsal) -> None:
    assert [result.policy for result in rehearsal.results] == ["guide", "<b>&"]
    assert all(len(ladder.rungs) >= 2 for ladder in rehearsal.ladders)


def test_json_holds_what_was_asked_for_and_what_came_out(rehearsal: Rehearsal) -> None:
    document = json.loads(as_json(rehearsal))
    assert document["workload"]["requests"] == 30
    assert document["servers"][0]["kv_blocks"] == 100
    assert [policy["name"] for policy in document["policies"]] == ["guide", "<b>&"]
    figure = document["policies"][0]["figures"]["ttft_mean"]
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert sum(document["policies"][1]["requests_by_server"]) == 30
    assert document["ladders"][0]["rungs"][0]["speed"] == 0.5
    assert all(bool(rung["broken_by"]) != rung["held"] for rung in document["ladders"][0]["rungs"])


def test_the_same_rehearsal_gives_the_same_bytes(rehearsal: Rehearsal) -> None:
    again = Rehearsal(rehearsal.plan)
    rehearse(again, 1, lambda _: lambda _job, _count: None)
    assert as_json(again) == as_json(rehearsal)
    assert request_lines(again) == request_lines(rehearsal)
    assert as_page(again) == as_page(rehearsal)


def test_there_is_a_line_for_each_request_under_each_policy(rehearsal: Rehearsal) -> None:
    rows = list(csv.DictReader(request_lines(rehearsal).splitlines()))
    assert len(rows) == 60
    first = rows[30]
    assert (first["policy"], first["request"], first["server"], first["outcome"]) == (
        "<b>&",
        "0",
        "server-0",
        "complete",
    )
    assert (float(first["ttft"]), float(first["e2e"]), float(first["tpot"])) == (1.0, 4.0, 1.0)


class _Page(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "data", "xlink:href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(rehearsal: Rehearsal) -> None:
    page = _Page()
    text = as_page(rehearsal)
    page.feed(text)
    assert page.open == []
    assert page.links == []
    assert "script" not in page.tags
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.count("svg") == 4 + 2 + 2 * 3  # distributions, ladder, servers of each policy
    assert "prefers-color-scheme: dark" in text
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;" in text


def test_tables_name_every_policy(rehearsal: Rehearsal) -> None:
    console = Console(width=200, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as caught:
        console.print(figure_table(rehearsal), ladder_table(rehearsal))
    text = caught.get()
    assert text.count("guide") == 2
    for heading in ("TTFT s p90", "output tok/s", "imbalance", "requests a second"):
        assert heading in text


def test_a_plot_is_well_formed_and_stays_in_its_picture() -> None:
    lines = [
        Line("a & b", [(0.01, 0.0), (1.0, 0.5), (100.0, 1.0)], 0, dots=True),
        Line("none", [], 1),
        Line("odd", [(float("nan"), 1.0), (0.0, 1.0), (1e9, float("inf"))], 2),
    ]
    picture = plot("a <title>", Axis("seconds", log=True), Axis("share", least=0.0, most=1.0), lines, [0.9])
    root = ElementTree.fromstring(standalone(picture, COLOURS))
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    space = "{http://www.w3.org/2000/svg}"
    drawn = [point.split(",") for line in root.iter(f"{space}polyline") for point in line.attrib["points"].split()]
    assert len(drawn) == 3
    assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in drawn)
    assert len(list(root.iter(f"{space}circle"))) == 3
    assert [line.attrib["class"] for line in root.iter(f"{space}line")].count("mark") == 1


@pytest.mark.parametrize("values", [[], [0.0], [5.0, 5.0], [1e-9, 1e9]])
def test_any_values_can_be_plotted(values: list[float]) -> None:
    for log in (False, True):
        line = Line("l", [(value, value) for value in values], 0)
        ElementTree.fromstring(plot("t", Axis("x", log=log), Axis("y", log=log), [line]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (1.239, "1.24"), (12.39, "12.4"), (123.9, "124"), (12345.6, "12346"),
     (float("nan"), "-"), (float("inf"), "never"), (-0.5, "-0.500")],
)  # fmt: skip
def test_numbers_have_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_servers_are_counted_by_kind(second_server: MakeServer) -> None:
    one = second_server()
    assert servers_in_words([one, one.slowed(2.0), one]) == (
        f"2 x {one.profile.name}, 1 x {one.profile.name}, 2x slower"
    )


def test_a_run_that_was_stopped_says_so(rehearsal: Rehearsal) -> None:
    assert json.loads(as_json(rehearsal))["whole"] is True
    assert "was stopped" not in as_page(rehearsal)
    rehearsal.whole = False
    rehearsal.results.pop()
    assert json.loads(as_json(rehearsal))["whole"] is False
    assert "This run was stopped: 1 of 2 policies are done" in as_page(rehearsal)
    assert "made: 1 policy<" in as_page(rehearsal)


def test_many_policies_are_lines_of_the_table(rehearsal: Rehearsal) -> None:
    rehearsal.results *= 3
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(figure_table(rehearsal))
    text = console.export_text()
    assert text.count("guide") == 3
    assert "TTFT s p90" in text.splitlines()[1]
    assert max(len(line) for line in text.splitlines()) <= 160


def test_lines_beyond_the_last_colour_are_dashed() -> None:
    lines = [Line(f"line {place}", [(0.0, 1.0), (1.0, 2.0)], place) for place in range(len(COLOURS) + 1)]
    picture = plot("t", Axis("x"), Axis("y"), lines, legend=True)
    assert 'class="c0 d0"' in picture
    assert 'class="c0 d1"' in picture
    assert all(f">{line.label}</text>" in picture for line in lines)


def test_of_many_servers_the_first_are_drawn(second_server: MakeServer, workload_of: MakeWorkload) -> None:
    plan = Plan(workload_of((0.0, 10, 2), (1.0, 10, 2)), (second_server(),) * 20, (guide(),))
    made = Rehearsal(plan)
    rehearse(made, 1, lambda _: lambda _job, _count: None)
    page = as_page(made)
    assert "The first 16 servers; 4 more are not drawn." in page
    assert "server-15" in page
    assert "server-16" not in page


def test_the_wait_in_the_picker_is_drawn_where_somebody_waited(rehearsal: Rehearsal) -> None:
    assert "Waiting in the picker" not in as_page(rehearsal)
    rehearsal.results[0].outcome.held[0] = 2.5
    assert "Waiting in the picker" in as_page(rehearsal)
