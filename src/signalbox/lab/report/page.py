"""A rehearsal as one HTML file: tables and plots, nothing loaded from anywhere, no scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

import numpy as np

from signalbox.lab.figures import NAMES
from signalbox.lab.outcome import Floats, Outcome
from signalbox.lab.rehearsal import Rehearsal, Result
from signalbox.lab.report.plot import COLOURS, Axis, Line, plot, strokes
from signalbox.lab.report.words import number, servers_in_words, with_interval
from signalbox.lab.slo import deciding

_SERVERS = 16
_POINTS = 120  # of a CDF
_LEAST_SECONDS = 1e-4

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --faint: #d9dde1; --paper: #ffffff; --muted: #5c656e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --faint: #363c43; --paper: #15181b; --muted: #9aa4ae; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1320px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } p.note { color: var(--muted); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { text-align: right; padding: .2rem .8rem; border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; } td span { color: var(--muted); font-size: .85em; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { width: 100%; height: auto; } svg text { fill: var(--muted); font: 11px system-ui, sans-serif; }
.grid { stroke: var(--faint); } .mark { stroke: var(--ink); stroke-dasharray: 4 3; }
polyline { fill: none; stroke-width: 1.6; }
polyline.d1 { stroke-dasharray: 6 3; } polyline.d2 { stroke-dasharray: 2 2; }
i.d1 { opacity: .65; } i.d2 { opacity: .35; }
.legend span { margin-right: 1.2rem; white-space: nowrap; }
.legend i { display: inline-block; width: 1.1em; height: .25em; margin-right: .4em; vertical-align: middle; }
"""


def as_page(rehearsal: Rehearsal) -> str:
    """The page."""
    plan = rehearsal.plan
    light, dark = (
        "".join(
            f"polyline.c{place} {{ stroke: {pair[shade]}; }} circle.c{place} {{ fill: {pair[shade]}; }}"
            f" i.c{place} {{ background: {pair[shade]}; }}\n"
            for place, pair in enumerate(COLOURS)
        )
        for shade in (0, 1)
    )
    colours = f"{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"
    title = f"{plan.workload.name}: {_policies(len(rehearsal.results))}"
    scraping = plan.scraping
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}{colours}</style></head><body>',
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(plan.workload.requests)} requests at {plan.workload.rate:.3g} a second"
        f" ({plan.speed:g} times the trace), on {escape(servers_in_words(plan.servers))}. Metrics are scraped every"
        f" {scraping.interval * 1e3:g} ms, {scraping.delay * 1e3:g} ms late, jitter {scraping.jitter * 1e3:g} ms,"
        f" loss {scraping.loss:.0%}. SLO: TTFT {plan.slo.ttft:g} s, TPOT {plan.slo.tpot * 1e3:g} ms."
        f" Seed {plan.seed}.</p>",
        *([] if rehearsal.whole else [f'<p class="note">{_stopped(rehearsal)}</p>']),
        *[f'<p class="note">{escape(note)}.</p>' for note in plan.workload.notes],
        _legend([result.policy for result in rehearsal.results]),
        _table(rehearsal),
        _distributions(rehearsal.results),
        *([_ladder(rehearsal)] if rehearsal.ladders else []),
        *[_servers(result) for result in rehearsal.results],
        "</body></html>\n",
    ]
    return "".join(parts)


def _policies(count: int) -> str:
    return f"{count} {'policy' if count == 1 else 'policies'}"


def _stopped(rehearsal: Rehearsal) -> str:
    done, all_of_them = len(rehearsal.results), len(rehearsal.plan.contenders)
    return f"This run was stopped: {done} of {_policies(all_of_them)} are done, and a ladder may lack rungs."


def _legend(names: Sequence[str]) -> str:
    spans = [f'<span><i class="{strokes(place)}"></i>{escape(name)}</span>' for place, name in enumerate(names)]
    return f'<p class="legend">{"".join(spans)}</p>'


def _table(rehearsal: Rehearsal) -> str:
    head = "".join(f"<th>{escape(result.policy)}</th>" for result in rehearsal.results)
    rows = []
    for name, heading in NAMES.items():
        cells = []
        for result in rehearsal.results:
            value, interval = with_interval(name, result.figures[name])
            cells.append(f"<td>{value}{f' <span>({interval})</span>' if interval else ''}</td>")
        rows.append(f"<tr><td>{escape(heading)}</td>{''.join(cells)}</tr>")
    return (
        '<h2>Figures</h2><p class="note">In brackets the 95 % interval of a bootstrap over blocks of neighbouring'
        " requests. TPOT is of answers of two tokens and more; held is the wait in the picker, queue that in a"
        " server.</p>"
        f'<div class="wide"><table><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
    )


def _distributions(results: Sequence[Result]) -> str:
    kinds: list[tuple[str, str, Callable[[Outcome], Floats]]] = [
        ("Time to first token", "seconds", lambda outcome: outcome.ttft),
        ("Time per output token", "seconds", lambda outcome: outcome.tpot),
        ("Whole answer", "seconds", lambda outcome: outcome.e2e),
        ("Waiting in a server's queue", "seconds", lambda outcome: outcome.queue),
    ]
    if any(np.nanmax(result.outcome.held, initial=0.0) > 0 for result in results):
        kinds.append(("Waiting in the picker", "seconds", lambda outcome: outcome.held))
    figures = []
    for title, unit, values in kinds:
        lines = [Line(result.policy, list(cdf(values(result.outcome))), place) for place, result in enumerate(results)]
        drawn = plot(title, Axis(unit, log=True), Axis("share of requests", least=0.0, most=1.0), lines)
        figures.append(_figure(title, drawn))
    return f'<h2>Distributions</h2><div class="plots">{"".join(figures)}</div>'


def cdf(values: Floats) -> Iterator[tuple[float, float]]:
    there = np.sort(values[~np.isnan(values)])
    if not len(there):
        return
    for place in np.unique(np.linspace(0, len(there) - 1, _POINTS).astype(int)):
        yield max(float(there[place]), _LEAST_SECONDS), (int(place) + 1) / len(there)


def _ladder(rehearsal: Rehearsal) -> str:
    slo = rehearsal.plan.slo
    ladders = rehearsal.ladders
    rows = "".join(
        f"<tr><td>{escape(ladder.policy)}</td>"
        f"<td>{'none held' if ladder.best is None else number(ladder.best.rate)}</td>"
        f"<td>{'not yet' if ladder.broken is None else number(ladder.broken.rate)}</td>"
        f"<td>{'' if ladder.broken is None else slo.broken_by(ladder.broken.outcome)}</td></tr>"
        for ladder in ladders
    )
    limits: tuple[tuple[str, float, Callable[[Outcome], float]], ...] = (
        ("TTFT p90", slo.ttft, lambda outcome: deciding(outcome)[0]),
        ("TPOT p90", slo.tpot, lambda outcome: deciding(outcome)[1]),
    )
    drawn = []
    for title, limit, values in limits:
        lines = [
            Line(
                ladder.policy,
                [(rung.rate, values(rung.outcome)) for rung in ladder.rungs],
                place,
                dots=True,
            )
            for place, ladder in enumerate(ladders)
        ]
        picture = plot(title, Axis("requests a second"), Axis("seconds", log=True), lines, [limit])
        drawn.append(_figure(f"{title}, dashed: the SLO", picture))
    return (
        "<h2>Load ladder</h2><table><tr><th></th>"
        "<th>highest rate that held, requests/s</th><th>broke at</th><th>for</th></tr>"
        f'{rows}</table><div class="plots">{"".join(drawn)}</div>'
    )


def _servers(result: Result) -> str:
    samples = result.outcome.samples
    if not len(samples.times):
        return ""
    shown = range(min(result.outcome.servers, _SERVERS))
    held = samples.running + samples.waiting
    figures = []
    for title, unit, values in (
        ("Requests on each server", "running and waiting", held),
        ("Waiting on each server", "waiting", samples.waiting),
        ("KV cache of each server", "share in use", samples.kv_usage),
    ):
        lines = [
            Line(
                f"server-{server}",
                list(zip(samples.times.tolist(), values[:, server].tolist(), strict=True)),
                server,
            )
            for server in shown
        ]
        figures.append(_figure(title, plot(title, Axis("seconds"), Axis(unit, least=0.0), lines)))
    names = [f"server-{server}" for server in shown]
    rest = result.outcome.servers - len(shown)
    note = f'<p class="note">The first {len(shown)} servers; {rest} more are not drawn.</p>' if rest else ""
    return f'<h2>{escape(result.policy)}</h2>{note}{_legend(names)}<div class="plots">{"".join(figures)}</div>'


def _figure(title: str, picture: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{picture}</figure>"
