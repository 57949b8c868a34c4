"""``signalbox status``: what a running picker knows of its pool, and what keeps it from knowing more."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import typer

from signalbox.cli.admin_flags import AsJson, PickerUrl, TokenFile

PATH = "/debug/pool"
STALE_SECONDS = 5.0
"""Age from which an endpoint's metrics are called old."""


def status(
    server: PickerUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show a running picker's endpoints, models and configuration, and what is left out or refused and why.

    Exit status 1 where the pool is unknown or has no endpoint.
    """
    from signalbox.cli.admin_client import AdminError, choose_server, fetch

    try:
        picker = choose_server(server, token_file)
        page = fetch(picker, PATH)
        if "endpoints" not in page or "configuration" not in page:
            raise AdminError(
                f"{picker.url} is not a picker of this version: its {PATH} says nothing of a configuration"
            )
    except AdminError as error:
        print(f"signalbox status: {error}", file=sys.stderr)
        raise typer.Exit(error.status) from None
    if as_json:
        print(json.dumps(page, indent=2))
    else:
        show(page, picker.url)
    raise typer.Exit(0 if page["endpoints"] else 1)


def show(page: Mapping[str, Any], url: str) -> None:
    """Print a picker's page."""
    from signalbox.cli.printing import console, plain, table

    out = console()
    out.print(plain(f"pool {page['pool']} at {url}: {_verdict(page)}"))
    if page["endpoints"]:
        columns = ("waiting>", "running>", "KV use>", "in flight>", "metrics", "adapters")
        endpoints = table("endpoint", "address", *columns)
        for endpoint in page["endpoints"]:
            endpoints.add_row(
                plain(endpoint["name"]),
                endpoint["address"],
                f"{endpoint['waiting']:g}",
                f"{endpoint['running']:g}",
                f"{endpoint['kv_usage']:.0%}",
                f"{endpoint['in_flight']:g}",
                _metrics(endpoint),
                plain(_adapters(endpoint)),
            )
        out.print()
        out.print(endpoints)
    pods = [f"{pod['pod']}: {'; '.join(pod['reasons'])}" for pod in page["left_out"]]
    if page["left_out_more"]:
        pods.append(f"and {page['left_out_more']} more")
    models = table("model", "goes to", "criticality", "from")
    for model in page["models"]:
        models.add_row(
            plain(model["name"]),
            plain(_targets(model["targets"]) + (f"; sticky by {model['sticky']}" if model["sticky"] else "")),
            model["criticality"] or "",
            plain(model["source"]),
        )
    _section(out, "pods that are no endpoints", pods)
    if page["models"]:
        out.print()
        out.print(models)
    if page["open"]:
        _section(out, "models", ["no InferenceModel is declared: every other name is passed on as it is"])
    _section(out, "objectives", [f"{found['name']}: priority {found['priority']}" for found in page["objectives"]])
    _section(out, "overruled", page["overruled"])
    _section(out, "held back", page["held_back"])
    _section(out, "not loaded", page["unloaded"])
    _section(out, "refused", page["refused"])
    if page.get("precise_prefix") is not None:
        from signalbox.cli.precise_page import precise_lines

        _section(out, "precise prefix cache", precise_lines(page["precise_prefix"]))
    if page.get("queues") is not None:
        from signalbox.cli.queues_page import queue_lines

        _section(out, "queues", queue_lines(page["queues"]))
    _configuration(out, page["configuration"])
    _section(out, "decisions", [_decisions(page["decisions"])])


def _verdict(page: Mapping[str, Any]) -> str:
    if not page["known"]:
        return "not known to its picker; create the InferencePool or correct --pool-name"
    count = len(page["endpoints"])
    if not count:
        return "no endpoint; see that its pods run, match its selector and are Ready"
    return f"{count} endpoint{'s' * (count != 1)}"


def _metrics(endpoint: Mapping[str, Any]) -> str:
    age, failed = endpoint["scraped_seconds_ago"], endpoint["failed_scrapes"]
    if age is None:
        return f"never read, {failed:g} failed" if failed else "not read yet"
    if failed:
        return f"{age:.1f} s old, {failed:g} failed"
    return f"{age:.1f} s old" if age >= STALE_SECONDS else "fresh"


def _adapters(endpoint: Mapping[str, Any]) -> str:
    """Those with requests in flight as they are, those that are only in memory in brackets."""
    active = endpoint["active_adapters"]
    resting = [f"({name})" for name in endpoint["resident_adapters"] if name not in active]
    return ", ".join([*active, *resting])


def _targets(targets: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(
        target["name"]
        + ("" if target["weight"] is None else f" {target['weight']}")
        + (" (held back)" if target["held_back"] else "")
        for target in targets
    )


def _beside_profiles(plugins: Iterable[Mapping[str, str]]) -> list[str]:
    """Return a line of the plugins that stand in no profile and have not been named, such as admitters."""
    roles: dict[str, list[str]] = {}
    for plugin in plugins:
        if plugin["role"] not in ("filter", "scorer", "picker", "handler", "detector"):
            roles.setdefault(plugin["role"], []).append(plugin["name"])
    return ["; ".join(f"{role} {', '.join(names)}" for role, names in roles.items())] if roles else []


def _configuration(out: Any, page: Mapping[str, Any]) -> None:
    lines = [f"from {page['source']}"]
    for profile in page["profiles"]:
        scorers = ", ".join(f"{scorer['name']} x {scorer['weight']:g}" for scorer in profile["scorers"])
        parts = (("filters", ", ".join(profile["filters"])), ("scorers", scorers), ("picker", profile["picker"]))
        lines.append(f"profile {profile['name']}: " + "; ".join(f"{what} {names}" for what, names in parts if names))
    if "saturation_detector" in page:
        lines.append(f"handler {page['handler']}, saturation detector {page['saturation_detector']}")
    lines += _beside_profiles(page["plugins"])
    if "prefix_index" in page:
        index = page["prefix_index"]
        lines.append(f"prefix index: {index['blocks']:,} blocks, about {index['memory_bytes'] / 1e6:.1f} MB")
    lines += [f"note: {note}" for note in page["notes"]]
    lines += [f"plugin {name} failed {count} times" for name, count in page["faults"].items()]
    from signalbox.cli.pool_page import GUIDE

    in_force = GUIDE if page["source"] == GUIDE else "the last good one"
    lines += [f"refused, {in_force} is in force: {problem}" for problem in page["refused"]]
    _section(out, "configuration", lines)


def _decisions(state: Mapping[str, Any] | None) -> str:
    if state is None:
        return "not kept (--explain-records 0)"
    since = f" since {state['since']}" if state["since"] else ""
    return f"{state['kept']} of at most {state['capacity']} kept{since}; signalbox explain shows them"


def _section(out: Any, title: str, lines: list[str]) -> None:
    from rich.text import Text

    from signalbox.cli.printing import plain

    if lines:
        out.print()
        out.print(Text(title, "bold"))
        for line in lines:
            out.print(Text("  ").append_text(plain(line)))
