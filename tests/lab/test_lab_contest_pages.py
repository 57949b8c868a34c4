"""The contest's tables are written into the pages from results that are there."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest

from signalbox.lab.contest_pages import main, marked
from signalbox.lab.contest_results import Result
from signalbox.lab.policies.ours import ABLATION


def result(policy: str, rate: float) -> Result:
    return Result("made", 4, policy, rate, 4.0, 0.5, 0.03, 0.5, 0)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / "lab").mkdir()
    kept = [asdict(result("least-cost", 11.0)), asdict(result("default", 10.0))]
    (tmp_path / "lab/contest.json").write_bytes(msgspec.json.encode(kept))
    kept = [asdict(result(policy, 11.0 - place)) for place, policy in enumerate(ABLATION)]
    (tmp_path / "lab/ablation.json").write_bytes(msgspec.json.encode(kept))
    (tmp_path / "lab.md").write_text("By hand.\n<!-- contest: summary -->\nold\n<!-- contest end -->\nAlso by hand.\n")
    (tmp_path / "least-cost.md").write_text("<!-- contest: ablation -->\n<!-- contest end -->\n")
    return tmp_path


def test_tables_stand_in_their_places_and_the_rest_stays(docs: Path) -> None:
    assert main([str(docs)]) == 0
    page = (docs / "lab.md").read_text()
    assert "| made | 4 | 11.00 | 10.00 (default) | 1.100 |" in page
    assert "old" not in page
    assert page.startswith("By hand.\n")
    assert page.endswith("Also by hand.\n")
    assert "## made, variant 4" in (docs / "lab/contest.md").read_text()
    assert "| made | 4 | 11.00, 0.500 | 10.00, 0.500 |" in (docs / "least-cost.md").read_text()


def test_writing_again_changes_nothing(docs: Path) -> None:
    assert main([str(docs)]) == 0
    before = [path.read_text() for path in sorted(docs.rglob("*.md"))]
    assert main([str(docs)]) == 0
    assert [path.read_text() for path in sorted(docs.rglob("*.md"))] == before


def test_a_place_without_a_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        marked("<!-- contest: nothing -->\n<!-- contest end -->", {})


@pytest.mark.parametrize("found", [None, b"[{}]", b"not JSON"])
def test_results_that_are_not_there_are_named_with_the_command_that_makes_them(
    docs: Path, found: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = docs / "lab/contest.json"
    if found is None:
        path.unlink()
    else:
        path.write_bytes(found)
    assert main([str(docs)]) == 2
    assert f"--json {path} writes it" in capsys.readouterr().err
    assert "old" in (docs / "lab.md").read_text()
