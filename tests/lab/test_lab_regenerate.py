from __future__ import annotations

import json
from pathlib import Path

import pytest

from signalbox.lab import TraceRequest, Workload, server
from signalbox.lab.regenerate import TRACES, bound_table, page_with, run
from signalbox.lab.scenarios import Scenario
from signalbox.lab.stage import configured

RATES = {"least-cost": 1.5, "oracle": 2.0}

PAGE = """\
# Page

<!-- lab: one -->
old
| table |
<!-- lab end -->

by hand

<!-- lab: two -->
<!-- lab end -->
"""


def test_tables_are_replaced_and_what_is_written_by_hand_stays() -> None:
    page = page_with(PAGE, {"one": "| new |\n", "two": "| other |\n", "three": "nowhere"})
    assert "old" not in page
    assert "# Page" in page
    assert "by hand" in page
    assert page.index("| new |") < page.index("by hand") < page.index("| other |")
    assert page_with(page, {"one": "| new |\n", "two": "| other |\n"}) == page


def test_a_place_without_a_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="two"):
        page_with(PAGE, {"one": ""})


def test_places_without_a_table_stay_where_only_some_are_made() -> None:
    page = page_with(PAGE, {"two": "| other |\n"}, others_stay=True)
    assert "old" in page
    assert "| other |" in page


def test_a_kind_of_tables_that_there_is_not_is_named(tmp_path: Path) -> None:
    said: list[str] = []
    for file, *_ in TRACES.values():
        (tmp_path / file).write_text("")
    (tmp_path / "lab.md").write_text(PAGE)
    assert run(tmp_path, tmp_path / "lab.md", 1, said.append, only="fast") == 2
    assert said == ["lab: there are no tables 'fast'; ONLY is one of published, what-if, traces, bound, speed"]


def test_limits_stand_beside_what_was_borne_where_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Workload("w", tuple(TraceRequest(n / 2, 4000, 20) for n in range(40)))
    one = Scenario("made", lambda variant: load, lambda seconds: (server("llama-3.1-8b-h100"),), 1.0)
    monkeypatch.setattr("signalbox.lab.regenerate.scenarios", lambda traces: {"made": one})
    alone = bound_table(tmp_path, tmp_path / "contest.json")["bound"].splitlines()
    assert alone[0] == "| scenario | variant | nobody more than |"
    assert [line.split(" | ")[:2] for line in alone[2:]] == [["| made", "4"]]
    results = [{"scenario": "made", "variant": 4, "policy": name, "rate": rate} for name, rate in RATES.items()]
    (tmp_path / "contest.json").write_text(json.dumps(results))
    table = bound_table(tmp_path, tmp_path / "contest.json")["bound"].splitlines()
    assert table[2].split(" | ")[3:6] == ["1.50", "2.00", "0.750"]
    (tmp_path / "contest.json").write_text(json.dumps(results[:1]))
    table = bound_table(tmp_path, tmp_path / "contest.json")["bound"].splitlines()
    assert table[2].split(" | ")[4:6] == ["-", "-"]


def test_missing_traces_are_named_before_anything_is_replayed(tmp_path: Path) -> None:
    said: list[str] = []
    page = tmp_path / "lab.md"
    page.write_text(PAGE)
    (tmp_path / TRACES["mooncake"][0]).write_text("")
    assert run(tmp_path, page, 1, said.append) == 2
    assert "no azure_llm_2023_conv.csv.gz, azure_llm_2023_code.csv.gz in" in said[0]
    assert "TRACES=" in said[0]
    assert page.read_text() == PAGE


def test_the_pages_example_is_a_configuration() -> None:
    page = (Path(__file__).parents[2] / "docs/lab.md").read_text()
    _, _, rest = page.partition("# next.yaml\n")
    assert configured(rest.partition("```")[0], "next.yaml").name == "next.yaml"


def test_every_place_of_the_page_has_its_table() -> None:
    page = (Path(__file__).parents[2] / "docs/lab.md").read_text()
    made = {*TRACES, "37-capacity", "73-capacity", "what-if", "speed", "bound", "of-batch"}
    places = {line.split()[2] for line in page.splitlines() if line.startswith("<!-- lab: ")}
    assert places == made
