"""Puts the tables of a result into docs/performance.md: ``python -m bench.page [bench/results/reference.json]``.

The page holds prose and, between ``<!-- bench:NAME -->`` and ``<!-- /bench -->``, tables. Only the tables are
written, so that every figure in them is one of the result's.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import attacks, unfinished
from bench.decisions import cost_rows, index_rows

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
REFERENCE = ROOT / "bench" / "results" / "reference.json"
DECISIONS = ROOT / "bench" / "results" / "reference-decisions.json"
"""A run of ``python -m bench.decisions``, for results that hold no such figures or older ones."""
ATTACKS = ROOT / "bench" / "results" / "reference-attacks.json"
"""The same of ``python -m bench.attacks``."""

Result = dict[str, Any]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(columns), " | ".join(["---", *["--:"] * (len(columns) - 1)])]
    return "\n".join(f"| {line} |" for line in [*lines, *[" | ".join(row) for row in rows]])


def _milliseconds(microseconds: float | None) -> str:
    return "–" if microseconds is None else f"{microseconds / 1000:.2f}"


def _budgets(result: Result) -> str:
    rows = [(b["what"], b["limit"], b["measured"], "yes" if b["met"] else "**no**") for b in result["budgets"]]
    return _table(("budget", "at most", "measured", "met"), rows)


def _connections(result: Result) -> str:
    columns = ("", "picker us", "Envoy us", "both us", "req/s", "p50 ms", "p99 ms", "+p50 ms", "+p99 ms")
    parts = []
    for count, figures in result["connections"].items():
        rows = [
            (
                title,
                f"{one['picker_us']:.0f}" if one["picker_us"] else "–",
                f"{one['proxy_us']:.0f}",
                f"{one['total_us']:.0f}",
                f"{one['per_second']:,.0f}",
                *[_milliseconds(one[name]) for name in ("p50_us", "p99_us", "added_p50_us", "added_p99_us")],
            )
            for key, title in result["titles"].items()
            for one in [figures[key]]
        ]
        parts.append(f"{count} connection{'s' if count != '1' else ''}:\n\n{_table(columns, rows)}")
    return "\n\n".join(parts)


def _sizes(result: Result) -> str:
    names = {"100": "100 B", "1000": "1 KB", "10000": "10 KB", "100000": "100 KB", "1000000": "1 MB"}
    rows = []
    for key, title in result["titles"].items():
        cells = []
        for figures in result["sizes"].values():
            one = figures[key]
            picker = f"{one['picker_us']:,.0f} + " if one["picker_us"] else ""
            cells.append(f"{picker}{one['proxy_us']:,.0f}")
        rows.append((title, *cells))
    return _table(("", *[names[size] for size in result["sizes"]]), rows)


def _streamed(result: Result) -> str:
    plain = result["connections"]["32"]
    rows = []
    for key, title in result["titles"].items():
        one, base = result["streamed"][key], plain[key]
        if not one["picker_us"]:
            rows.append((title, "–", "–", f"{one['proxy_us']:,.0f}"))
            continue
        chunk = (one["picker_us"] - base["picker_us"]) / max(1.0, one["messages"] - base["messages"])
        rows.append((title, f"{chunk:.1f}", f"{one['picker_us']:,.0f}", f"{one['proxy_us']:,.0f}"))
    return _table(("", "picker us/chunk", "picker us/request", "Envoy us/request"), rows)


def _standing(result: Result) -> str:
    costs = " / ".join(f"{decision['bare_us']:.0f}" for decision in result["decisions"])
    watched = result["decisions"][0]["watched_us"] - result["decisions"][0]["bare_us"]
    first, last = result["memory"][0], result["memory"][-1]
    crowd = result["crowd"]
    rows = [
        ("decision (arrive + finish) over 8 / 64 / 1,000 endpoints, in process", f"{costs} us"),
        ("metrics of the picker, on top of a decision", f"{watched:.0f} us"),
        ("scraping 8 endpoints every 50 ms, no requests", f"{result['idle_cores']:.3f} cores"),
        ("scraping 1,000 endpoints", f"{crowd['cores']:.2f} cores, {crowd['resident_bytes'] / 1e6:.0f} MB"),
        (
            f"memory after warming up, and {last[0]:,} requests later",
            f"{first[1] / 1e6:.1f} MB, {last[1] / 1e6:.1f} MB",
        ),
    ]
    return _table(("", ""), rows)


def _by_policy(result: Result) -> Result:
    alone: Result = json.loads(DECISIONS.read_text())
    found: Result = result["by_policy"] if "by_policy" in result and result["time"] > alone["time"] else alone
    return found


def _decisions(result: Result) -> str:
    return _table(*cost_rows(_by_policy(result)["costs"]))


def _index(result: Result) -> str:
    return _table(*index_rows(_by_policy(result)["index"]))


def _attacks(result: Result) -> str:
    found = result if "attacks" in result else json.loads(ATTACKS.read_text())
    return _table(attacks.COLUMNS, attacks.rows(found["attacks"]))


def _unfinished(result: Result) -> str:
    found = result if "unfinished" in result else json.loads(ATTACKS.read_text())
    return _table(unfinished.COLUMNS, unfinished.rows(found["unfinished"]))


TABLES: dict[str, Callable[[Result], str]] = {
    "budgets": _budgets,
    "connections": _connections,
    "sizes": _sizes,
    "streamed": _streamed,
    "standing": _standing,
    "decisions": _decisions,
    "index": _index,
    "attacks": _attacks,
    "unfinished": _unfinished,
}


def filled(page: str, result: Result) -> str:
    """Return the page with its tables written anew. Raises `ValueError` for a table that is not known or not there."""
    seen = set()

    def write(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in TABLES:
            raise ValueError(f"docs/performance.md asks for a table {name!r}; there are {', '.join(TABLES)}")
        seen.add(name)
        return f"<!-- bench:{name} -->\n\n{TABLES[name](result)}\n\n<!-- /bench -->"

    page = re.sub(r"<!-- bench:(\w+) -->.*?<!-- /bench -->", write, page, flags=re.DOTALL)
    if missing := TABLES.keys() - seen:
        raise ValueError(f"docs/performance.md has no place for {', '.join(sorted(missing))}")
    return page


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("result", nargs="?", type=Path, default=REFERENCE, help="a result of python -m bench")
    result = parser.parse_args().result
    try:
        PAGE.write_text(filled(PAGE.read_text(), json.loads(result.read_text())))
    except (OSError, ValueError) as error:
        print(f"bench.page: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
