"""Tables for a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from signalbox.lab.rehearsal import Rehearsal
from signalbox.lab.report.words import number, with_interval
from signalbox.lab.validation import Repeated, Verdict

_SHOWN = {
    "ttft_p50": "TTFT p50 s",
    "ttft_p90": "TTFT p90 s",
    "ttft_p99": "TTFT p99 s",
    "tpot_p90": "TPOT p90 ms",
    "hit_rate": "prefix hits %",
    "attained": "within SLO %",
    "imbalance": "imbalance",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column to the left and the others to the right."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def figures_table(rehearsal: Rehearsal) -> str:
    """The main figures, one line for each policy, with their intervals; and what its ladder found."""
    sustained = {ladder.policy: ladder.best for ladder in rehearsal.ladders}
    rows = []
    for result in rehearsal.results:
        cells = []
        for name in _SHOWN:
            value, interval = with_interval(name, result.figures[name])
            cells.append(f"{value} ({interval})" if interval else value)
        best = sustained.get(result.policy)
        rows.append([result.policy, *cells, *(["-" if best is None else number(best.rate)] if sustained else [])])
    return table(["policy", *_SHOWN.values(), *(["bears req/s"] if sustained else [])], rows)


def repeated_table(repeated: Iterable[Repeated]) -> str:
    """A published comparison, theirs beside ours."""
    return table(
        ["policy", "tok/s theirs", "ours", "TTFT p90 theirs", "mean of stages", "ours", "our prefix hits"],
        [
            [
                one.stated.policy,
                number(one.stated.output_rate),
                number(one.output_rate),
                f"{number(one.stated.ttft_p90)} s",
                f"{number(one.stated_ttft_p90)} s",
                f"{number(one.ttft_p90)} s",
                f"{one.hit_rate:.0%}",
            ]
            for one in repeated
        ],
    )


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    """How the policies stand to each other, theirs beside ours."""
    return table(
        ["policies", "ratio of", "theirs", "ours", "within", "without the constant", "within"],
        [
            [
                " : ".join(one.pair),
                one.what,
                number(one.theirs),
                number(one.ours),
                _yes(one.within),
                "" if one.bare is None else number(one.bare),
                "" if one.bare_within is None else _yes(one.bare_within),
            ]
            for one in verdicts
        ],
    )


def order_table(orders: Iterable[tuple[str, Sequence[str], Sequence[str]]]) -> str:
    """The policies from best to worst, theirs beside ours."""
    return table(
        ["order by", "theirs", "ours", "the same"],
        [[what, ", ".join(theirs), ", ".join(ours), _yes(theirs == ours)] for what, theirs, ours in orders],
    )


def _yes(holds: bool) -> str:
    return "yes" if holds else "**no**"
