"""Writes the contest's tables into the pages: ``make lab-contest``, or ``python -m signalbox.lab.contest_pages DOCS``
for results that are there.

``DOCS/lab/contest.json`` and ``DOCS/lab/ablation.json`` hold the results, as ``python -m signalbox.lab.contest --json``
writes them. ``DOCS/lab/contest.md`` is written whole; in ``DOCS/lab.md`` and ``DOCS/least-cost.md`` tables stand
between ``<!-- contest: NAME -->`` and ``<!-- contest end -->``, and everything else is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import msgspec

from signalbox.lab.contest_results import (
    OURS,
    OURS_PRECISE,
    OURS_UNHELD,
    Cell,
    Result,
    against,
    cells,
    side_by_side,
    summary,
    table,
    verdict,
)
from signalbox.lab.contest_scenarios import scenario_table
from signalbox.lab.policies.ours import ABLATION

_MARK = re.compile(r"(<!-- contest: ([\w-]+) -->\n).*?(<!-- contest end -->)", re.DOTALL)
_HEAD = """\
# Contest: all figures

```
python -m signalbox.lab.contest --traces ../shared/traces --variant 14 --variant 15
```

What is compared and how: [the lab](../lab.md#contest). Rates in requests a second. All figures but the first are
those at 80 % of the highest rate in the table. `default` is ours: what an empty configuration means;
`least-cost-precise` is `least-cost` told by the engines what they hold, `least-cost-scorer` its choice of an endpoint
alone, with nobody held back. `make lab-contest` writes this page.
"""


def read(path: Path) -> list[list[Result]]:
    """Results by scenario and variant. Raises ValueError naming the file and what is wrong with it."""
    try:
        return cells(msgspec.json.decode(path.read_bytes(), type=list[Result]))
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(
            f"{path}: {error}; python -m signalbox.lab.contest --traces DIR --json {path} writes it"
        ) from None


def marked(page: str, tables: dict[str, str]) -> str:
    """The page with these tables in their places. Raises KeyError for a place that has no table."""
    return _MARK.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}", page)


def whole(results: list[list[Result]]) -> str:
    """The page with all figures."""
    return "\n".join([_HEAD, *(f"## {_title(cell)}\n\n{table(cell)}\n" for cell in results)])


def _title(cell: Cell) -> str:
    return f"{cell[0].scenario}, variant {cell[0].variant}"


def write(docs: Path) -> None:
    """Write the three pages. Raises ValueError where results are not there."""
    results, ablation = read(docs / "lab/contest.json"), read(docs / "lab/ablation.json")
    tables = {
        "scenarios": scenario_table(results, OURS),
        "scenarios-precise": scenario_table(results, OURS_PRECISE),
        "scenarios-unheld": scenario_table(results, OURS_UNHELD),
        "summary": summary(results),
        "verdict": verdict(results),
        "summary-precise": summary(results, OURS_PRECISE),
        "verdict-precise": verdict(results, OURS_PRECISE),
        "default": against(results, "default"),
        "ablation": side_by_side(ablation, ABLATION),
    }
    (docs / "lab/contest.md").write_text(whole(results))
    for name in ("lab.md", "least-cost.md"):
        page = docs / name
        page.write_text(marked(page.read_text(), tables))


def main(arguments: list[str]) -> int:
    """Write the pages of the directory that is named; returns the exit status, 2 where results are not there."""
    try:
        write(Path(arguments[0]))
    except ValueError as error:
        print(f"contest_pages: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
