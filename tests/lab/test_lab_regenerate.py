from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.lab.regenerate import TRACES, page_with, run
from signalbox.lab.stage import configured

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
    made = {*TRACES, "37-capacity", "73-capacity", "what-if", "speed"}
    places = {line.split()[2] for line in page.splitlines() if line.startswith("<!-- lab: ")}
    assert places == made
