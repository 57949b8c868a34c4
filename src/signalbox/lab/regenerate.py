"""Makes the tables and plots of docs/lab.md anew: ``make lab``, or ``make lab ONLY=speed`` for one kind of them.

Tables stand between ``<!-- lab: NAME -->`` and ``<!-- lab end -->``; everything else on the page is written by hand,
but for the contest's (`signalbox.lab.contest_pages`).
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from signalbox.lab.bound import highest_speed
from signalbox.lab.policies import POLICIES
from signalbox.lab.published import CAPACITY_73, COMPARISONS
from signalbox.lab.rehearsal import Plan, Rehearsal, rehearse
from signalbox.lab.replay import replay
from signalbox.lab.report.markdown import figures_table, order_table, repeated_table, table, verdict_table
from signalbox.lab.report.page import cdf
from signalbox.lab.report.plot import COLOURS, Axis, Line, plot, standalone
from signalbox.lab.report.words import number
from signalbox.lab.scenarios import scenarios
from signalbox.lab.scrapes import Scraping
from signalbox.lab.servers import server
from signalbox.lab.slo import Slo
from signalbox.lab.stage import configured, guide
from signalbox.lab.traces import InvalidTrace, read_trace
from signalbox.lab.validation import orders, repeat, verdicts

TRACES = {
    "mooncake": ("mooncake_conversation.jsonl.gz", "llama-3.1-8b-h100", (1.0, 2.0, 3.0, 4.0, 6.0)),
    "azure-conversation": ("azure_llm_2023_conv.csv.gz", "llama-3.1-8b-h100", (2.0, 4.0, 8.0, 16.0, 32.0)),
    "azure-code": ("azure_llm_2023_code.csv.gz", "llama-3.1-8b-h100", (2.0, 4.0, 8.0, 16.0, 32.0)),
}
"""Each trace of the page: its file, the engine of its 8 servers, and the speeds of its ladder."""

ORACLE_VARIANTS = (4,)
"""The variants of the contest's scenarios in which the oracle was run: that takes longer than all policies together."""

WEIGHTED = """\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""
"""The reference's default profile, with our plugins."""

_MARK = re.compile(r"(<!-- lab: ([\w-]+) -->\n).*?(<!-- lab end -->)", re.DOTALL)


def page_with(page: str, tables: dict[str, str], *, others_stay: bool = False) -> str:
    """The page with these tables in their places. Raises KeyError for a place that has no table, unless it is to stay
    as it is."""

    def placed(match: re.Match[str]) -> str:
        if others_stay and match[2] not in tables:
            return match[0]
        return f"{match[1]}\n{tables[match[2]]}\n{match[3]}"

    return _MARK.sub(placed, page)


def published_tables(workers: int) -> dict[str, str]:
    """Repeat the published comparisons."""
    tables = {"of-batch": repeated_table(repeat(CAPACITY_73, workers, Scraping(of_batch=True)))}
    for comparison in COMPARISONS:
        repeated = repeat(comparison, workers)
        tables[comparison.name] = (
            f"{comparison.text}.\n\n{repeated_table(repeated)}\n{verdict_table(verdicts(repeated))}"
            f"\n{order_table(orders(repeated))}"
        )
    return tables


def trace_tables(traces: Path, pictures: Path, workers: int) -> dict[str, str]:
    """Replay the traces under two policies, each at its own rate and on a ladder; draw TTFT into ``pictures``."""
    tables = {}
    for name, (file, engine, speeds) in TRACES.items():
        workload = read_trace(traces / file)
        contenders = (guide(), configured(WEIGHTED, "queue 2, kv 2, prefix 3"))
        rehearsal = Rehearsal(Plan(workload, (server(engine),) * 8, contenders, ladder=speeds, rounds=3))
        rehearse(rehearsal, workers, _silent)
        tables[name] = (
            f"{len(workload.requests)} requests at {number(workload.rate)} a second.\n\n"
            f"{figures_table(rehearsal)}\n![time to first token](lab/{name}-ttft.svg)\n"
        )
        lines = [
            Line(result.policy, list(cdf(result.outcome.ttft)), place) for place, result in enumerate(rehearsal.results)
        ]
        title, up = f"{name}: time to first token", Axis("share", least=0.0, most=1.0)
        drawn = plot(title, Axis("seconds", log=True), up, lines, legend=True)
        (pictures / f"{name}-ttft.svg").write_text(standalone(drawn, COLOURS))
    return tables


def what_if_table(traces: Path, workers: int) -> dict[str, str]:
    """Replay the change of the page's example at twice the rate of the Mooncake trace."""
    file, engine, _ = TRACES["mooncake"]
    workload = read_trace(traces / file).faster(2.0)
    changed = WEIGHTED.replace("weight: 3", "weight: 9")
    contenders = (configured(WEIGHTED, "now.yaml"), configured(changed, "next.yaml"))
    rehearsal = Rehearsal(Plan(workload, (server(engine),) * 8, contenders, speed=2.0))
    rehearse(rehearsal, workers, _silent)
    return {"what-if": figures_table(rehearsal)}


def _silent(_replays: object) -> Callable[[int, int], None]:
    return lambda _job, _count: None


def speed_table(traces: Path) -> dict[str, str]:
    """How many requests of the Mooncake trace one core replays in a second, under every policy."""
    file, engine, _ = TRACES["mooncake"]
    workload = read_trace(traces / file)
    rows = []
    for contender in POLICIES.values():
        begun = time.process_time()
        replay(workload, (server(engine),) * 8, contender)
        rows.append((len(workload.requests) / (time.process_time() - begun), contender.name))
    return {
        "speed": table(
            ["policy", "requests a second of CPU"], [[name, f"{rate:.0f}"] for rate, name in sorted(rows, reverse=True)]
        )
    }


def bound_table(traces: Path, results: Path) -> dict[str, str]:
    """What nobody can bear more than, in `ORACLE_VARIANTS`; and what `least-cost` and the
    oracle bore, where ``results`` holds it."""
    known: dict[tuple[str, int, str], float] = {}
    if results.is_file():
        known = {
            (one["scenario"], one["variant"], one["policy"]): one["rate"] for one in json.loads(results.read_text())
        }
    head = ["scenario", "variant", "nobody more than"]
    if known:
        head += ["least-cost", "oracle", "least-cost : oracle", "oracle : limit"]
    rows = []
    for name, scenario in scenarios(traces).items():
        for variant in ORACLE_VARIANTS:
            load = scenario.load(variant)
            limit = load.rate * highest_speed(load, scenario.fleet, Slo())
            row = [name, str(variant), number(limit)]
            if known:
                ours, oracle = (known.get((name, variant, one)) or math.nan for one in ("least-cost", "oracle"))
                row += [number(value) for value in (ours, oracle, ours / oracle, oracle / limit)]
            rows.append(row)
    return {"bound": table(head, rows)}


def run(traces: Path, page: Path, workers: int, say: Callable[[str], None] = print, only: str = "") -> int:
    """Write the page anew, or ``only`` one kind of its tables; returns the exit status: 2 where a trace is missing or
    there is no such kind."""
    missing = [file for file, _, _ in TRACES.values() if not (traces / file).is_file()]
    if missing:
        say(f"lab: no {', '.join(missing)} in {traces}; say where they are with TRACES=DIRECTORY")
        return 2
    pictures = page.parent / "lab"
    pictures.mkdir(exist_ok=True)
    kinds: dict[str, Callable[[], dict[str, str]]] = {
        "published": partial(published_tables, workers),
        "what-if": partial(what_if_table, traces, workers),
        "traces": partial(trace_tables, traces, pictures, workers),
        "bound": partial(bound_table, traces, pictures / "oracle.json"),
        "speed": partial(speed_table, traces),
    }
    if only and only not in kinds:
        say(f"lab: there are no tables {only!r}; ONLY is one of {', '.join(kinds)}")
        return 2
    tables: dict[str, str] = {}
    try:
        for kind in [only] if only else kinds:
            tables |= kinds[kind]()
    except InvalidTrace as error:
        say(f"lab: {error}")
        return 2
    page.write_text(page_with(page.read_text(), tables, others_stay=bool(only)))
    say(f"lab: wrote the tables of {page}: {', '.join(tables)}")
    return 0


def main(arguments: list[str]) -> int:
    """``python -m signalbox.lab.regenerate TRACES PAGE WORKERS [ONLY]``."""
    traces, page, workers, *only = arguments
    return run(Path(traces), Path(page), int(workers), only="".join(only))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
