"""Decisions as people read them. What comes in is the JSON of ``/debug/decisions``, see ``docs/explain.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from signalbox.cli.printing import console, plain, table

Decision = Mapping[str, Any]


def show_decision(decision: Decision) -> None:
    """Print one decision: what was asked, what was decided and why, the filters, the endpoints."""
    out = console()
    out.print(_header(decision))
    if decision["steps"]:
        out.print()
        out.print(_steps(decision["steps"]))
    for profile in decision.get("profiles", ()):
        out.print()
        out.print(_endpoints(profile, decision))
        if profile["endpoints_more"]:
            out.print(Text(f"and {profile['endpoints_more']} more endpoints", "dim"))
    out.print()


def show_list(decisions: list[Decision]) -> None:
    """Print one line for each decision."""
    listed = table("time", "request", "model", "to", "after", "ended", "why")
    for decision in decisions:
        listed.add_row(
            plain(_clock(decision)),
            plain(decision["request_id"] or "-"),
            plain(_model(decision)),
            Text(_to(decision), "red" if decision["outcome"] == "refused" else "green"),
            plain(f"{decision['decision_us']:.0f} us" if "decision_us" in decision else "-"),
            plain("-" if decision["outcome"] == "refused" else _end(decision["end"])),
            plain(_why(decision)),
        )
    console().print(listed)


def line_of(decision: Decision) -> str:
    """One decision, or the end of its request, as a line of text."""
    end = decision.get("end")
    first = f"{_clock(decision)}  {decision['request_id'] or '-'}  "
    if end is not None:
        first += f"ended on {decision['served_by'] or decision['chosen']}: {_end(end)}"
    else:
        first += f"{_model(decision)}  {_to(decision)}  {_why(decision)}"
    return plain(first).plain


def _header(decision: Decision) -> Table:
    block = Table.grid(padding=(0, 2))
    block.add_column(style="bold", no_wrap=True)
    block.add_column(overflow="fold")
    objective = f", objective {decision['objective']}" if decision["objective"] else ""
    priority = "unknown" if decision["priority"] is None else decision["priority"]
    rows = {
        "request": decision["request_id"] or "without x-request-id",
        "time": decision["time"],
        "model": _model(decision) + (f" (rewrite {decision['rewrite']})" if decision.get("rewrite") else ""),
        "priority": f"{priority}{objective}",
    }
    if decision["outcome"] == "refused":
        rows["refused"] = f"{decision['status']} {decision['code']}"
        if decision["saturation"] is not None:
            rows["saturation"] = f"{decision['saturation']:.0%}, measured by {decision['detector']}"
        elif decision["detector"]:
            rows["detector"] = decision["detector"]
    else:
        rows |= _routed_rows(decision)
    if (waited := decision.get("wait")) is not None:
        rows["waited"] = _waited(waited)
    rows["why"] = decision["why"]
    for name, value in rows.items():
        block.add_row(name, plain(str(value)))
    return block


def _waited(wait: Mapping[str, Any]) -> str:
    below = "" if (ceiling := wait.get("ceiling")) is None else f", where it goes below {ceiling:.0%}"
    sender = f", fairness id {wait['fairness_id']}" if wait["fairness_id"] else ""
    return (
        f"{wait['seconds']:.3f} s in the band of priority {wait['band']}{sender}, behind {wait['ahead']}:"
        f" the pool was at {wait['saturation']:.0%}{below}; {wait['outcome']}"
    )


def _routed_rows(decision: Decision) -> dict[str, str]:
    rows = {"endpoint": f"{decision['chosen']} ({decision['address']})"}
    if decision["fallbacks"]:
        rows["fallbacks"] = ", ".join(decision["fallbacks"])
    if decision["served_by"]:
        rows["served by"] = f"{decision['served_by']}, a fallback"
    for stage, names in decision["stages"].items():
        rows[stage] = ", ".join(names)
    rows["prompt"] = f"about {decision['prompt_tokens']:,} tokens" + (", streamed" if decision["stream"] else "")
    expected = decision.get("predicted")
    if expected is not None:
        tpot = expected["tpot_seconds"]
        further = "" if tpot is None else f", {tpot * 1000:.1f} ms for each further one"
        rows["expected"] = f"the first token after {expected['ttft_seconds']:.3f} s{further}"
    rows["decided"] = f"in {decision['decision_us']:.0f} us over {_counted(decision['candidates'])}"
    rows["ended"] = _end(decision["end"])
    return rows


def _steps(steps: list[Mapping[str, Any]]) -> Table:
    several = len({step.get("profile") for step in steps} - {None}) > 1
    listed = table(*["profile"] * several, "step", "before>", "after>", "left out")
    for step in steps:
        more = f" and {step['dropped_more']} more" if step["dropped_more"] else ""
        told = plain(", ".join(step["dropped"]) + more)
        if step.get("fault"):
            told = plain(f"nobody, for it failed: {step['fault']}")
            told.stylize("red")
        profile = [plain(step.get("profile") or "")] * several
        listed.add_row(*profile, plain(step["plugin"]), str(step["before"]), str(step["after"]), told)
    return listed


def _endpoints(profile: Mapping[str, Any], decision: Decision) -> Table:
    scorers = [scorer["name"] for scorer in profile["scorers"]]
    looked_up = any(endpoint["prefix_tokens"] is not None for endpoint in profile["endpoints"])
    prefix = ["prefix tokens>"] if looked_up else []
    scored = [*(f"{name}>" for name in scorers), "total>"] if scorers else []
    title = f"profile {profile['profile']}" if len(decision["profiles"]) > 1 else None
    listed = table("endpoint", "queue>", "in flight>", "KV use>", *prefix, *scored, "", title=title)
    for endpoint in profile["endpoints"]:
        cells: list[str | Text] = [
            plain(endpoint["name"]),
            _number(endpoint["queue"]),
            _number(endpoint["in_flight"]),
            "-" if endpoint["kv_usage"] is None else f"{endpoint['kv_usage']:.0%}",
        ]
        if looked_up:
            cells.append(_number(endpoint["prefix_tokens"]))
        if scorers:
            cells += [_score(endpoint["scores"].get(name)) for name in scorers]
            cells.append(_score(endpoint["total"]))
        listed.add_row(*cells, _mark(endpoint), style="bold" if endpoint["place"] == 0 else None)
    return listed


def _mark(endpoint: Mapping[str, Any]) -> Text:
    if endpoint["place"] == 0:
        return Text("chosen", "green")
    dropped = f"left out by {endpoint['dropped_by']}" if endpoint["dropped_by"] else ""
    if endpoint["place"] is not None:
        return Text(", ".join(filter(None, (f"fallback {endpoint['place']}", dropped))), "cyan")
    return Text(dropped, "dim")


def _to(decision: Decision) -> str:
    if decision["outcome"] == "refused":
        return f"{decision['status']} {decision['code']}"
    return str(decision["served_by"] or decision["chosen"])


def _model(decision: Decision) -> str:
    model, target = decision["model"] or "-", decision["target"]
    return model if target in ("", model) else f"{model} -> {target}"


def _why(decision: Decision) -> str:
    """Say why in one line, beginning with how long the request waited for its turn."""
    wait = decision.get("wait")
    return f"waited {wait['seconds']:.3f} s; {decision['why']}" if wait is not None else str(decision["why"])


def _clock(decision: Decision) -> str:
    return str(decision["time"])[11:23]


def _end(end: Mapping[str, Any] | None) -> str:
    if end is None:
        return "not yet"
    parts = [f"{end['status'] or 'no status'} {end['outcome']}"]
    if end["ttft_seconds"] is not None:
        parts.append(f"first token {end['ttft_seconds']:.3f} s")
    parts.append(f"{end['seconds']:.3f} s")
    if end["prompt_tokens"] is not None:
        cached = f" ({end['cached_tokens']} cached)" if end["cached_tokens"] is not None else ""
        parts.append(f"{end['prompt_tokens']}{cached} + {end['completion_tokens']} tokens")
    return ", ".join(parts)


def _counted(candidates: int) -> str:
    return f"{candidates} candidate{'s' * (candidates != 1)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,g}" if value < 1e6 else f"{value:,.0f}"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
