"""The terminal of ``signalbox up``: one line for each event, and below them a live table where there is a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from signalbox.gateway.members import Member, counted

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from signalbox.gateway.figures import Figures

REFRESH = 0.25
"""Seconds between two drawings of the table."""

_COLUMN = 11


@dataclass(frozen=True, slots=True)
class PickerRow:
    """A picker in the table."""

    pool: str
    address: str
    ready: bool
    restarts: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the table shows."""

    headline: str
    members: tuple[Member, ...] = ()
    figures: Mapping[str, Figures] | None = None
    pickers: tuple[PickerRow, ...] = ()
    envoy: str = ""
    curl: tuple[str, ...] = ()
    """The command to try, in lines that a shell takes as they are."""


def line(subject: str, text: str) -> str:
    """One event as a line, aligned with the others."""
    return f"{subject:<{_COLUMN}} {text}"


class PlainScreen:
    """Lines only: for logs, pipes and CI."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def say(self, subject: str, text: str) -> None:
        """Print one event."""
        with contextlib.suppress(OSError):  # whoever read our output has gone; what runs goes on
            print(line(subject, text), file=self._out, flush=True)

    async def run(self, snapshot: Callable[[], Snapshot]) -> None:
        """There is nothing to draw."""

    def close(self) -> None:
        """There is nothing to put away."""


class LiveScreen:
    """Lines above, a table below that is drawn anew four times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def say(self, subject: str, text: str) -> None:
        """Print one event above the table."""
        # soft_wrap: a curl command that is broken into lines cannot be copied.
        with contextlib.suppress(OSError):  # the terminal has gone: all the more reason to stop in order
            self._console.print(line(subject, text), markup=False, highlight=False, soft_wrap=True)

    async def run(self, snapshot: Callable[[], Snapshot]) -> None:
        """Draw for ever."""
        from rich.live import Live

        # Drawn from the event loop: the thread Live would start draws in the middle of our changes.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        while True:
            with contextlib.suppress(OSError):
                self._live.update(table(snapshot()), refresh=True)
            await asyncio.sleep(REFRESH)

    def close(self) -> None:
        """Take the table away and give the terminal back."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()


Screen = PlainScreen | LiveScreen


def open_screen(plain: bool) -> Screen:
    """The screen for this terminal."""
    if plain or not sys.stdout.isatty():
        return PlainScreen()
    from rich.console import Console

    return LiveScreen(Console())


def table(snapshot: Snapshot) -> RenderableType:
    """Draw a snapshot."""
    from rich.console import Group
    from rich.text import Text

    from signalbox.gateway.pod_table import Command, PodTable

    rows: list[RenderableType] = [Text(), Text(snapshot.headline, "bold")]
    if snapshot.members:
        rows.append(PodTable(snapshot.members, snapshot.figures or {}))
    for picker in snapshot.pickers:
        doing = "ready" if picker.ready else "starting"
        restarts = f", {counted(picker.restarts, 'restart')}" if picker.restarts else ""
        rows.append(Text(f"picker of {picker.pool}  {picker.address}  {doing}{restarts}", "dim"))
    if snapshot.envoy:
        rows.append(Text(snapshot.envoy, "dim"))
    if snapshot.curl:
        rows.append(Command(snapshot.curl))
    return Group(*rows)
