"""``signalbox explain``: why requests went where they went."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from signalbox.cli.admin_flags import AsJson, PickerUrl, TokenFile

if TYPE_CHECKING:
    from signalbox.cli.admin_client import Server

LATEST = 20
PATH = "/debug/decisions"


def explain(
    request_id: Annotated[
        str | None,
        typer.Argument(metavar="REQUEST_ID", help="The x-request-id of one request.", show_default=False),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(min=1, help=f"The last N decisions, one a line; {LATEST} by default.", show_default=False),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Decisions and ends of requests as they come, until Ctrl-C.")
    ] = False,
    server: PickerUrl = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show why requests went where they went: scores, filters and readings at the moment of the decision."""
    from signalbox.cli.admin_client import AdminError, choose_server

    if sum((request_id is not None, last is not None, follow)) > 1:
        raise typer.BadParameter("give one of REQUEST_ID, --last and --follow")
    try:
        picker = choose_server(server, token_file)
        if request_id is not None:
            _one(picker, request_id, as_json)
        elif follow:
            _follow(picker, as_json)
        else:
            _last(picker, last or LATEST, as_json)
    except AdminError as error:
        print(f"signalbox explain: {error}", file=sys.stderr)
        raise typer.Exit(error.status) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _one(picker: Server, request_id: str, as_json: bool) -> None:
    from signalbox.cli.admin_client import AdminError, NotFound, fetch
    from signalbox.cli.decision_tables import show_decision

    try:
        page = fetch(picker, f"{PATH}/{quote(request_id, safe='')}")
    except NotFound as missing:
        raise AdminError(f"{missing}{_how_far_back(missing.answer)}") from None
    if as_json:
        _print(page)
        return
    for decision in page["decisions"]:
        show_decision(decision)


def _how_far_back(answer: dict[str, Any]) -> str:
    if answer.get("switched_off"):
        return ""
    if not answer.get("kept"):
        return "; the picker has kept no decisions yet"
    reach = f"; the picker keeps {answer['kept']} decisions, the oldest of {answer['since']}"
    if answer["sample"] < 1:
        reach += f", and only {answer['sample']:.0%} of the requests (--explain-sample)"
    if answer["passed_over"]:
        reach += f"; {answer['passed_over']} were passed over, beyond {answer['rate']:g} a second (--explain-rate)"
    return reach


def _last(picker: Server, count: int, as_json: bool) -> None:
    from signalbox.cli.admin_client import fetch
    from signalbox.cli.decision_tables import show_list

    page = fetch(picker, f"{PATH}?last={count}")
    if as_json:
        _print(page)
    elif page["decisions"]:
        show_list(page["decisions"])
    else:
        print("no decisions yet")


def _follow(picker: Server, as_json: bool) -> None:
    from signalbox.cli.admin_client import follow
    from signalbox.cli.decision_tables import line_of

    for decision in follow(picker, f"{PATH}?follow=1"):
        print(json.dumps(decision) if as_json else line_of(decision), flush=True)


def _print(page: dict[str, Any]) -> None:
    print(json.dumps(page, indent=2))
