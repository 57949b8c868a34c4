"""Tables for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from signalbox.lab.figures import NAMES
from signalbox.lab.rehearsal import Rehearsal
from signalbox.lab.report.words import number, servers_in_words, with_interval

_SIDE_BY_SIDE = 4
_MAIN = ("ttft_p50", "ttft_p90", "ttft_p99", "tpot_p90", "e2e_p90", "hit_rate", "attained", "imbalance", "refused")


def figure_title(rehearsal: Rehearsal) -> str:
    """What the figures are about."""
    plan = rehearsal.plan
    return (
        f"{plan.workload.name}: {len(plan.workload.requests)} requests at {plan.workload.rate:.3g} a second on"
        f" {servers_in_words(plan.servers)}; SLO: TTFT {plan.slo.ttft:g} s, TPOT {plan.slo.tpot * 1e3:g} ms"
    )


def ladder_title(rehearsal: Rehearsal) -> str:
    """What the ladder looks for."""
    slo = rehearsal.plan.slo
    return f"highest rate with TTFT p90 <= {slo.ttft:g} s and TPOT p90 <= {slo.tpot * 1e3:g} ms"


def figure_table(rehearsal: Rehearsal) -> Table:
    """One column for each policy, one line for each figure, with its 95 % interval. More policies than stand side by
    side are lines, with the main figures alone."""
    if len(rehearsal.results) > _SIDE_BY_SIDE:
        return _turned(rehearsal)
    table = Table()
    table.add_column("")
    for result in rehearsal.results:
        table.add_column(Text(result.policy), justify="right", overflow="fold")
    for name, heading in NAMES.items():
        cells = []
        for result in rehearsal.results:
            value, interval = with_interval(name, result.figures[name])
            cells.append(Text.assemble(value, (f" ({interval})", "dim")) if interval else Text(value))
        table.add_row(heading, *cells)
    return table


def _turned(rehearsal: Rehearsal) -> Table:
    table = Table()
    table.add_column("")
    for name in _MAIN:
        table.add_column(NAMES[name], justify="right")
    for result in rehearsal.results:
        table.add_row(Text(result.policy), *[with_interval(name, result.figures[name])[0] for name in _MAIN])
    return table


def ladder_table(rehearsal: Rehearsal) -> Table:
    """For each policy the highest rate that held, and what the rungs looked like."""
    table = Table()
    for heading in ("policy", "requests a second", "times the trace", "broke at", "for", "tried"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for ladder in rehearsal.ladders:
        best, broken = ladder.best, ladder.broken
        table.add_row(
            Text(ladder.policy),
            "none held" if best is None else number(best.rate),
            "" if best is None else f"{best.speed:.3g}x",
            "not yet" if broken is None else f"{broken.speed:.3g}x",
            "" if broken is None else ladder.slo.broken_by(broken.outcome),
            str(len(ladder.rungs)),
        )
    return table
